// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// The Go side of bench/harness/fairness.h, line by line.
package main

import (
	"fmt"
	"math/bits"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

var start = time.Now()

func now() int64 { return int64(time.Since(start)) }

const parts = 32

type histogram [60 * parts]int64

func index(nanos uint64) int {
	if nanos < parts {
		return int(nanos)
	}
	shift := bits.Len64(nanos) - bits.Len64(parts)
	return shift*parts + int(nanos>>shift)
}

func lowerEnd(i int) float64 {
	if i < 2*parts {
		return float64(i)
	}
	shift := i/parts - 1
	return float64((i - shift*parts) << shift)
}

func (h *histogram) quantile(part float64) float64 {
	all := int64(0)
	for _, count := range h {
		all += count
	}
	left := int64(float64(all) * part)
	for i, count := range h {
		left -= count
		if left < 0 {
			return lowerEnd(i)
		}
	}
	return 0
}

type task struct {
	waits      histogram
	operations int64
	_          [128]byte
}

var (
	workers int
	tasks   []task
	nanos   float64
	end     int64
	sink    uint64
)

func localWork(x uint64) uint64 {
	for i := 0; i < 100; i++ {
		x = bits.RotateLeft64(x, 1)
	}
	return x
}

func inTasks(f func(t *task, i int)) {
	runtime.GOMAXPROCS(workers)
	end = now() + int64(nanos)
	var all sync.WaitGroup
	for i := range tasks {
		all.Add(1)
		go func() {
			f(&tasks[i], i)
			all.Done()
		}()
	}
	all.Wait()
}

func share(enter, leave func(turn int)) {
	inTasks(func(t *task, i int) {
		x := uint64(1)
		for turn := i; now() < end; turn++ {
			start := now()
			enter(turn)
			t.waits[index(uint64(now()-start))]++
			x = localWork(x)
			if turn%16 == 0 {
				runtime.Gosched()
			}
			leave(turn)
			x = localWork(x)
			t.operations++
		}
		if x == 0 {
			sink = x
		}
	})
}

func channel() {
	values := make(chan int)
	var senders atomic.Int64
	senders.Store(int64(len(tasks)+1) / 2)
	inTasks(func(t *task, i int) {
		x := uint64(1)
		for open := true; open; {
			start := now()
			if i%2 != 0 {
				_, open = <-values
			} else if start < end {
				values <- 1
			} else {
				open = false
			}
			if open {
				t.waits[index(uint64(now()-start))]++
				t.operations++
			}
			x = localWork(x)
		}
		if i%2 == 0 && senders.Add(-1) == 0 {
			close(values)
		}
		if x == 0 {
			sink = x
		}
	})
}

func report() {
	var all histogram
	most, least, sum := int64(0), tasks[0].operations, int64(0)
	for t := range tasks {
		for i, count := range tasks[t].waits {
			all[i] += count
		}
		most = max(most, tasks[t].operations)
		least = min(least, tasks[t].operations)
		sum += tasks[t].operations
	}
	fmt.Printf("{\"p50\": %.0f, \"p99\": %.0f, \"p99.9\": %.0f, \"fairness\": %.3g, \"rate\": %.4g}\n",
		all.quantile(0.5), all.quantile(0.99), all.quantile(0.999),
		float64(most)/float64(max(least, 1)), float64(sum)/nanos*1e9)
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--list" {
		for _, name := range []string{"Mutex", "RWMutex", "Semaphore", "Chan"} {
			fmt.Printf("{\"name\": %q}\n", name)
		}
		return
	}
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: --list | NAME WORKERS TASKS SECONDS")
		os.Exit(2)
	}
	workers, _ = strconv.Atoi(os.Args[2])
	count, _ := strconv.Atoi(os.Args[3])
	seconds, _ := strconv.ParseFloat(os.Args[4], 64)
	tasks, nanos = make([]task, count), seconds*1e9
	switch os.Args[1] {
	case "Mutex":
		var mutex sync.Mutex
		share(func(int) { mutex.Lock() }, func(int) { mutex.Unlock() })
	case "RWMutex":
		var mutex sync.RWMutex
		share(func(turn int) {
			if turn%10 == 0 {
				mutex.Lock()
			} else {
				mutex.RLock()
			}
		}, func(turn int) {
			if turn%10 == 0 {
				mutex.Unlock()
			} else {
				mutex.RUnlock()
			}
		})
	case "Semaphore": // as Go's programs make one
		slots := make(chan struct{}, workers)
		share(func(int) { slots <- struct{}{} }, func(int) { <-slots })
	case "Chan":
		channel()
	default:
		os.Exit(2)
	}
	report()
}
