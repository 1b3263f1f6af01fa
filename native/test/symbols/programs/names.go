// Prints "address name" for Go functions of all sorts, then waits for its standard input to end.
package main

import (
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
)

type shelf[T any] struct{ items []T }

//go:noinline
func (s *shelf[T]) add(item T) { s.items = append(s.items, item) }

//go:noinline
func plain(x int) int {
	if x > 10 {
		return x * 3
	}
	return x + 1
}

func main() {
	closure := func(x int) int { return plain(x) }
	fmt.Printf("%#x main.plain\n", reflect.ValueOf(plain).Pointer())
	fmt.Printf("%#x main.main.func1\n", reflect.ValueOf(closure).Pointer())
	fmt.Printf("%#x strings.Repeat\n", reflect.ValueOf(strings.Repeat).Pointer())
	fmt.Printf("%#x main.main\n", reflect.ValueOf(main).Pointer())
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
	s := &shelf[int]{}
	s.add(closure(1))
}
