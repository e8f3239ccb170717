// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// The operations of bench/*_bench.cpp in Go, line by line. One file per area; each adds its
// cases to the list.
package main

import (
	"math/bits"
	"sync"

	"hamgam/bench/harness"
)

var cases []harness.Case

func add(name string, workers []int, op harness.Op) {
	cases = append(cases, harness.Case{Name: name, Workers: workers, Op: op})
}

func addIn(unit, name string, workers []int, op harness.Op) {
	cases = append(cases, harness.Case{Name: name, Workers: workers, Op: op, Unit: unit})
}

var one, both = []int{1}, []int{1, 2}

// inGoroutines runs body in that many goroutines at once and waits for them.
func inGoroutines(count int, body func()) {
	var all sync.WaitGroup
	for i := 0; i < count; i++ {
		all.Add(1)
		go func() {
			body()
			all.Done()
		}()
	}
	all.Wait()
}

// localWork is bench::local_work: 100 dependent steps of one cycle.
func localWork(x uint64) uint64 {
	for i := 0; i < 100; i++ {
		x = bits.RotateLeft64(x, 1)
	}
	return x
}

var sink uint64

func main() { harness.Main(cases) }
