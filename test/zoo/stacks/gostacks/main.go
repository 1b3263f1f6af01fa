// What Go programs are made of: goroutines that sort with closures, recurse until their stacks have grown, use interfaces, maps and
// channels, panic and recover, and a collector that has work to do.
package main

import (
	"fmt"
	"os"
	"sort"
	"strings"
	"syscall"
	"time"
)

type worker interface{ work(turn int) int }

type sorting struct{}
type building struct{ parts int }

//go:noinline
func (sorting) work(turn int) int {
	values := make([]int, 300)
	for i := range values {
		values[i] = (i*2654435761 + turn) % 1000
	}
	sort.Slice(values, func(a, b int) bool { return values[a] < values[b] })
	return values[10]
}

//go:noinline
func (b building) work(turn int) int {
	counts := map[string]int{}
	for i := 0; i < b.parts; i++ {
		counts[strings.Repeat("x", i%7)+fmt.Sprint(turn%5)]++
	}
	return len(counts)
}

//go:noinline
func recurse(depth int, w worker) int {
	var room [40]int
	if depth == 0 {
		return w.work(7)
	}
	room[depth%40] = recurse(depth-1, w)
	return room[depth%40] + 1
}

//go:noinline
func panicAndRecover(turn int) (result int) {
	defer func() {
		if recovered := recover(); recovered != nil {
			result = recovered.(int)
		}
	}()
	if turn%2 == 1 {
		panic(turn)
	}
	return recurse(turn%20, sorting{})
}

//go:noinline
func live(w worker, out chan<- int) {
	for turn := 0; ; turn++ {
		sum := recurse(turn%200, w) + panicAndRecover(turn)
		if turn%100 == 0 {
			out <- sum
		}
	}
}

func main() {
	// PR_SET_PDEATHSIG: end with whoever started this.
	syscall.RawSyscall(syscall.SYS_PRCTL, 1, 9, 0)
	out := make(chan int)
	go live(sorting{}, out)
	go live(building{60}, out)
	fmt.Fprintln(os.Stdout, "ready")
	total := 0
	for sum := range out {
		total += sum
		if total%1000 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
}
