// Calls compute from many goroutines that move between threads and whose stacks grow under way, and says of each call what it
// was given, what came of it and how long it took by its own clock.
//
//	gocalls GOROUTINES CALLS
//
// Prints "ready" and waits for SIGUSR1. Then it makes the calls, and prints one line for each: function, id, result,
// nanoseconds.
package main

import (
	"bufio"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Lets other goroutines run, and sleeps now and then, so that the goroutine goes on on another thread.
//
//go:noinline
func step(id int, round int) int {
	if round%3 == 0 {
		time.Sleep(50 * time.Microsecond)
	} else {
		runtime.Gosched()
	}
	return id*10 + round
}

// Uses stack enough that the first calls of a goroutine have to move it.
//
//go:noinline
func deep(n int) int {
	var room [256]int
	room[n%256] = n
	if n == 0 {
		return room[0]
	}
	return deep(n-1) + room[n%256]
}

//go:noinline
func compute(id int, factor int) int {
	sum := deep(id % 40)
	for round := 0; round < 2; round++ {
		sum += step(id, round)
	}
	return sum * factor
}

type record struct {
	id, result  int
	nanoseconds int64
}

func main() {
	goroutines, _ := strconv.Atoi(os.Args[1])
	calls, _ := strconv.Atoi(os.Args[2])
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	fmt.Println("ready")
	<-signals

	runtime.GOMAXPROCS(4)
	records := make([]record, goroutines*calls)
	var all sync.WaitGroup
	for g := 0; g < goroutines; g++ {
		all.Add(1)
		go func(g int) {
			defer all.Done()
			for c := 0; c < calls; c++ {
				id := g*calls + c
				start := time.Now()
				result := compute(id, 3)
				records[id] = record{id, result, int64(time.Since(start))}
			}
		}(g)
	}
	all.Wait()

	out := bufio.NewWriter(os.Stdout)
	for _, r := range records {
		fmt.Fprintln(out, "compute", r.id, r.result, r.nanoseconds)
	}
	out.Flush()
}
