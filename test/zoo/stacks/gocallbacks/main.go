// Go calls C, and C calls Go back: the stack changes from the goroutine's to the thread's and back again.
package main

/*
#include <stdlib.h>
#include <sys/prctl.h>

extern int goCompare(unsigned a, unsigned b);

static int compare(const void *left, const void *right) {
    return goCompare(*(const unsigned *)left, *(const unsigned *)right);
}

static __attribute__((noinline)) void sort_in_c(unsigned *values, unsigned long count) {
    qsort(values, count, sizeof *values, compare);
    __asm__ volatile("" ::: "memory");
}

static __attribute__((noinline)) unsigned long burn_in_c(unsigned long turns) {
    volatile unsigned long sum = 0;
    for (unsigned long turn = 0; turn < turns; turn++)
        sum += turn;
    return sum;
}

static void end_with_parent(void) {
    prctl(PR_SET_PDEATHSIG, 9);
}
*/
import "C"

import "fmt"

//export goCompare
func goCompare(a, b C.uint) C.int {
	if inGo(uint32(a)) < inGo(uint32(b)) {
		return -1
	}
	return 1
}

//go:noinline
func inGo(value uint32) uint32 {
	for i := 0; i < 20; i++ {
		value = value*1664525 + 1013904223
	}
	return value
}

//go:noinline
func callC(seed uint32) uint64 {
	var values [64]C.uint
	for i := range values {
		seed = seed*1664525 + 1013904223
		values[i] = C.uint(seed)
	}
	C.sort_in_c(&values[0], C.ulong(len(values)))
	return uint64(C.burn_in_c(20000))
}

func main() {
	C.end_with_parent()
	fmt.Println("ready")
	var sum uint64
	for seed := uint32(1); ; seed++ {
		sum += callC(seed)
	}
}
