// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

package main

import (
	"runtime"
	"sync"
)

const batch = 1000

func init() {
	add("Go/spawn", both, func(workers, n int) {
		var all sync.WaitGroup
		for left := n; left > 0; left -= batch {
			count := min(left, batch)
			all.Add(count)
			for i := 0; i < count; i++ {
				go func() { all.Done() }()
			}
			all.Wait()
		}
	})
	add("Go/spawn_one", both, func(workers, n int) {
		var all sync.WaitGroup
		for i := 0; i < n; i++ {
			all.Add(1)
			go func() { all.Done() }()
			all.Wait()
		}
	})
	add("Go/yield", both, func(workers, n int) {
		inGoroutines(2, func() {
			for i := 0; i < n/2; i++ {
				runtime.Gosched()
			}
		})
	})
}
