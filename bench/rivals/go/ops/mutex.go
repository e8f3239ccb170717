// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

package main

import (
	"sync"

	"hamgam/bench/harness"
)

func contend(workers, goroutinesPerWorker, n int, work bool) {
	var mutex sync.Mutex
	share := harness.NewShare(n)
	inGoroutines(workers*goroutinesPerWorker, func() {
		x := uint64(1)
		for count := share.Take(); count > 0; count = share.Take() {
			for i := 0; i < count; i++ {
				mutex.Lock()
				mutex.Unlock()
				if work {
					x = localWork(x)
				}
			}
		}
		if x == 0 {
			sink = x
		}
	})
}

func init() {
	add("Mutex/uncontended", one, func(workers, n int) {
		var mutex sync.Mutex
		for i := 0; i < n; i++ {
			mutex.Lock()
			mutex.Unlock()
		}
	})
	add("Mutex/contended", both, func(workers, n int) { contend(workers, 1, n, false) })
	add("Mutex/slack", both, func(workers, n int) { contend(workers, 10, n, false) })
	add("Mutex/work", both, func(workers, n int) { contend(workers, 1, n, true) })
}
