// A program whose only C code is that of Go's standard library: it asks the C library for names of hosts and users.
package main

import (
	"fmt"
	"net"
	"os/user"
)

func main() {
	hosts, err := net.LookupHost("localhost")
	root, missing := user.LookupId("0")
	fmt.Println(hosts, err, root, missing)
}
