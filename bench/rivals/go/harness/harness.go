// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Package harness is the Go side of bench/harness: the same command line, the same way of
// choosing how many operations to do, the same sharing out.
package harness

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Op does an operation n times with the given number of workers.
type Op func(workers int, n int)

// Case is an operation under the name that all languages share.
type Case struct {
	Name    string
	Workers []int
	Op      Op
	Unit    string // "" is ns
	Big     bool
	// Measure takes the place of Op in programs that measure a whole process.
	Measure func(workers int) float64
}

func (c Case) unit() string {
	if c.Unit == "" {
		return "ns"
	}
	return c.Unit
}

func (c Case) inUnit(ns float64) float64 {
	switch c.Unit {
	case "us":
		return ns / 1e3
	case "ms":
		return ns / 1e6
	}
	return ns
}

func list(cases []Case) {
	for _, c := range cases {
		workers := make([]string, len(c.Workers))
		for i, w := range c.Workers {
			workers[i] = strconv.Itoa(w)
		}
		fmt.Printf("{\"name\": %q, \"workers\": [%s], \"unit\": %q, \"big\": %v}\n",
			c.Name, strings.Join(workers, ", "), c.unit(), c.Big)
	}
}

// Google Benchmark's rule: grow n until the run lasts long enough.
func nsPerOp(op Op, workers int, minTime float64) float64 {
	for n := 1; ; {
		runtime.GC()
		start := time.Now()
		op(workers, n)
		seconds := time.Since(start).Seconds()
		if seconds >= minTime || n >= 1e9 {
			return seconds * 1e9 / float64(n)
		}
		factor := minTime * 1.4 / max(seconds, 1e-9)
		if seconds/minTime <= 0.1 {
			factor = min(factor, 10)
		}
		n = min(max(int(factor*float64(n)), n+1), 1e9)
	}
}

func run(c Case, workers, reps int, minTime float64) {
	runtime.GOMAXPROCS(workers)
	for ; reps > 0; reps-- {
		var value float64
		if c.Measure != nil {
			value = c.Measure(workers)
		} else {
			value = c.inUnit(nsPerOp(c.Op, workers, minTime))
		}
		fmt.Printf("{\"name\": %q, \"workers\": %d, \"unit\": %q, \"value\": %.6g}\n",
			c.Name, workers, c.unit(), value)
	}
}

// Main answers --version, --list and --run.
func Main(cases []Case) {
	args := os.Args[1:]
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "usage: --version | --list | --run NAME --workers N")
		os.Exit(2)
	}
	switch args[0] {
	case "--version":
		fmt.Printf("{\"library\": \"go\", \"version\": %q, \"compiler\": %q, \"build\": \"\"}\n",
			runtime.Version(), runtime.Version())
		return
	case "--list":
		list(cases)
		return
	}
	workers, reps, minTime, name := 1, 1, 0.2, ""
	for i := 0; i+1 < len(args); i += 2 {
		switch args[i] {
		case "--run":
			name = args[i+1]
		case "--workers":
			workers, _ = strconv.Atoi(args[i+1])
		case "--reps":
			reps, _ = strconv.Atoi(args[i+1])
		case "--min-time":
			minTime, _ = strconv.ParseFloat(args[i+1], 64)
		}
	}
	for _, c := range cases {
		if c.Name == name {
			run(c, workers, reps, minTime)
			return
		}
	}
	fmt.Fprintln(os.Stderr, "no case named", name)
	os.Exit(2)
}

// Share hands out n operations in grains, as bench::Share does.
type Share struct {
	_     [128]byte
	left  atomic.Int64
	_     [120]byte
	grain int64
	_     [120]byte
}

// NewShare makes a Share of n operations.
func NewShare(n int) *Share {
	s := &Share{grain: min(max(int64(n)/512, 1), 2048)}
	s.left.Store(int64(n))
	return s
}

// Take says how many operations to do now; 0: no more.
func (s *Share) Take() int {
	if s.left.Load() <= 0 {
		return 0
	}
	before := s.left.Add(-s.grain) + s.grain
	return int(min(max(before, 0), s.grain))
}
