module hotspan.example/gocalls

go 1.20
