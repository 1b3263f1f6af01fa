// Makes inlined.go a program with C in it: prints "c ADDRESS NAME" for a function in C.
package main

/*
#include <stdint.h>
__attribute__((noinline)) int c_square(int x) { return x * x + 7; }
static uintptr_t address_of_square(void) { return (uintptr_t)&c_square; }
*/
import "C"
import "fmt"

func init() {
	if C.c_square(3) != 16 {
		panic("c_square")
	}
	fmt.Fprintf(out, "c %#x c_square\n", uintptr(C.address_of_square()))
}
