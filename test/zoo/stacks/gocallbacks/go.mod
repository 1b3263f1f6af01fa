module gocallbacks

go 1.21
