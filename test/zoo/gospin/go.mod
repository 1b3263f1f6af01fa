module hotspan.dev/zoo/gospin

go 1.19
