// gospin burns CPU in Go functions with known names: one on the main goroutine, two on goroutines of their own. The shares are
// counted work: 50, 30 and 20 percent, in rounds that the three take in turn, so that they hold on any number of CPUs.
//
// gospin SECONDS: runs for so long.
package main

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

// turnsPerRound is about 10 ms of work.
const turnsPerRound = 10_000_000

//go:noinline
func spin(turns int) uint64 {
	value := uint64(turns) | 1
	for turn := 0; turn < turns; turn++ {
		value = value*6364136223846793005 + 1442695040888963407
	}
	return value
}

//go:noinline
func burnHalf() uint64 { return spin(turnsPerRound*5/10) + 1 }

//go:noinline
func burnThirty() uint64 { return spin(turnsPerRound*3/10) + 2 }

//go:noinline
func burnTwenty() uint64 { return spin(turnsPerRound*2/10) + 3 }

// serve does one piece of work for each request, on its own goroutine.
func serve(requests <-chan struct{}, answers chan<- uint64, work func() uint64) {
	for range requests {
		answers <- work()
	}
}

func main() {
	seconds := 0.0
	if len(os.Args) > 1 {
		seconds, _ = strconv.ParseFloat(os.Args[1], 64)
	}
	if seconds <= 0 {
		fmt.Fprintln(os.Stderr, "usage: gospin SECONDS")
		os.Exit(2)
	}
	thirty, twenty, answers := make(chan struct{}), make(chan struct{}), make(chan uint64)
	go serve(thirty, answers, burnThirty)
	go serve(twenty, answers, burnTwenty)
	fmt.Println("ready")
	end := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	rounds, sum := 0, uint64(0)
	for ; time.Now().Before(end); rounds++ {
		sum += burnHalf()
		thirty <- struct{}{}
		sum += <-answers
		twenty <- struct{}{}
		sum += <-answers
	}
	fmt.Printf("{\"rounds\":%d,\"sum\":\"%d\"}\n", rounds, sum)
}
