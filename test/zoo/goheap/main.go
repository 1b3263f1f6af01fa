// A Go program that allocates known amounts once it is told to, and prints what its own heap profile says of each of its functions.
package main

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
)

type node struct {
	next *node
	room [48]byte
}

var (
	keep  [][]byte
	nodes *node
	words map[int]string
)

//go:noinline
func smallObjects() {
	for i := 0; i < 1_000_000; i++ {
		nodes = &node{next: nil}
	}
}

//go:noinline
func largeObjects() {
	for i := 0; i < 64; i++ {
		keep = append(keep[:i%8], make([]byte, 1<<20))
	}
}

//go:noinline
func growingMap() {
	words = map[int]string{}
	for i := 0; i < 200_000; i++ {
		words[i] = strings.Repeat("x", 40)
	}
}

//go:noinline
func inGoroutines() {
	var group sync.WaitGroup
	for i := 0; i < 4; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for n := 0; n < 20_000; n++ {
				sinks[n%len(sinks)] = make([]byte, 1500)
			}
		}()
	}
	group.Wait()
}

var sinks [64][]byte

type sum struct {
	objects, bytes int64
	scaled         float64
}

// As runtime/pprof scales it.
func scaled(record *runtime.MemProfileRecord) float64 {
	if record.AllocObjects == 0 {
		return 0
	}
	mean := float64(record.AllocBytes) / float64(record.AllocObjects)
	return float64(record.AllocBytes) / (1 - math.Exp(-mean/float64(runtime.MemProfileRate)))
}

func profile() map[string]sum {
	// Two cycles: what was allocated is in the profile after the second.
	runtime.GC()
	runtime.GC()
	records := make([]runtime.MemProfileRecord, 10_000)
	count, ok := runtime.MemProfile(records, true)
	if !ok {
		panic("more records than expected")
	}
	sums := map[string]sum{}
	for i := range records[:count] {
		record := &records[i]
		names := map[string]bool{}
		frames := runtime.CallersFrames(record.Stack())
		for more := true; more; {
			var frame runtime.Frame
			frame, more = frames.Next()
			// A function and the closures in it are one.
			names[strings.TrimSuffix(frame.Function, ".func1")] = true
		}
		for name := range names {
			known := sums[name]
			sums[name] = sum{known.objects + record.AllocObjects, known.bytes + record.AllocBytes, known.scaled + scaled(record)}
		}
	}
	return sums
}

func main() {
	input := bufio.NewReader(os.Stdin)
	// Linked, so that Go's linker leaves sampling on.
	pprof.Lookup("heap")
	fmt.Println("ready")
	input.ReadString('\n')
	smallObjects()
	largeObjects()
	growingMap()
	inGoroutines()
	for name, known := range profile() {
		if strings.HasPrefix(name, "main.") {
			fmt.Printf("%s %d %d %.0f\n", name, known.objects, known.bytes, known.scaled)
		}
	}
	fmt.Println("done")
	input.ReadString('\n')
}
