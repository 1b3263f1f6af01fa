module hotspan.dev/zoo/goheap

go 1.18
