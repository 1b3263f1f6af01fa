// Says how the Go runtime itself describes its code: "pc ADDRESS function|file|line" for addresses all over the text, and
// "chain ADDRESS function|file|line ..." for the frames of stacks, innermost first, where calls are inlined into one
// another. Then waits for its standard input to end.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"text/template"
)

var seen = map[uintptr]bool{}
var out = bufio.NewWriter(os.Stdout)

func describe(frame runtime.Frame) string {
	return fmt.Sprintf("%s|%s|%d", frame.Function, frame.File, frame.Line)
}

// The runtime gives one frame after the other; those that are inlined have no Func, and the one that holds them has.
//
//go:noinline
func record() {
	var pcs [64]uintptr
	n := runtime.Callers(1, pcs[:])
	var chain []string
	var first uintptr
	for i := 0; i < n; i++ {
		frame, _ := runtime.CallersFrames(pcs[i : i+1]).Next()
		if len(chain) == 0 {
			first = pcs[i] - 1
		}
		chain = append(chain, describe(frame))
		if frame.Func != nil {
			if !seen[first] {
				seen[first] = true
				fmt.Fprintf(out, "chain %#x %s\n", first, strings.Join(chain, " "))
			}
			chain = nil
		}
	}
}

type pair struct{ a, b int }

func (p pair) MarshalJSON() ([]byte, error) {
	record()
	return []byte(`{"a":` + strconv.Itoa(p.a) + `}`), nil
}

// Inlined into the wrapper for *pair it would be a frame that the runtime leaves out.
//
//go:noinline
func (p pair) String() string {
	record()
	return "pair"
}

func innermost(x int) int {
	record()
	return x + 1
}
func middle(x int) int { return innermost(x) * 2 }
func outer(x int) int  { return middle(x) + middle(x+1) }

type shelf[T any] struct{ items []T }

func (s *shelf[T]) each(visit func(T)) {
	for _, item := range s.items {
		visit(item)
	}
}
func apply[T any](items []T, visit func(T)) { (&shelf[T]{items}).each(visit) }

//go:noinline
func deep(n int) int {
	if n == 0 {
		return outer(1)
	}
	return deep(n-1) + outer(n)
}

// Each call is inlined anew.
//
//go:noinline
func many(x int) int {
	x += middle(x) + middle(x+1) + middle(x+2) + middle(x+3)
	if x > 100 {
		x -= middle(x) * middle(x)
	}
	for i := 0; i < 2; i++ {
		x += twice(x) + twice(i)
	}
	return x
}
func twice(x int) int { return middle(x) + middle(-x) }

func stacks() {
	deep(3)
	many(50)
	apply([]int{1, 2}, func(x int) { outer(x) })
	apply([]string{"a"}, func(string) { record() })
	sort.Slice([]int{3, 1, 2}, func(i, j int) bool { record(); return i < j })
	strings.Map(func(r rune) rune { record(); return r }, "abc")
	strings.FieldsFunc("a b", func(r rune) bool { record(); return r == ' ' })
	json.Marshal(map[string]any{"x": pair{1, 2}, "y": []pair{{3, 4}}})
	regexp.MustCompile(`a+`).ReplaceAllStringFunc("caat", func(s string) string { record(); return s })
	fmt.Fprintf(io.Discard, "%v %s", pair{1, 2}, pair{})
	template.Must(template.New("t").Funcs(template.FuncMap{"f": func() string { record(); return "" }}).Parse(`{{range $x := .}}{{f}}{{end}}`)).Execute(io.Discard, []int{1})
	done := make(chan bool)
	go func() { defer close(done); defer record(); outer(2) }()
	<-done
	func() {
		defer func() { record(); recover() }()
		var none *pair
		_ = none.b
	}()
}

// The first executable mapping of the program: begin and end.
func text() (uintptr, uintptr) {
	maps, _ := os.ReadFile("/proc/self/maps")
	exe, _ := os.Readlink("/proc/self/exe")
	for _, line := range strings.Split(string(maps), "\n") {
		if strings.Contains(line, " r-xp ") && strings.HasSuffix(line, exe) {
			var begin, end uintptr
			fmt.Sscanf(line, "%x-%x", &begin, &end)
			return begin, end
		}
	}
	panic("no text")
}

func main() {
	stacks()
	begin, end := text()
	// A step that is prime meets instructions at all offsets.
	step := (end-begin)/6000 | 1
	for pc := begin; pc < end; pc += step {
		// The last byte of a function is no call, which would return into the next one.
		if f := runtime.FuncForPC(pc); f == nil || runtime.FuncForPC(pc+1).Entry() != f.Entry() {
			continue
		}
		frame, _ := runtime.CallersFrames([]uintptr{pc + 1}).Next()
		fmt.Fprintf(out, "pc %#x %s\n", pc, describe(frame))
	}
	fmt.Fprintln(out, "ready")
	out.Flush()
	io.Copy(io.Discard, os.Stdin)
}
