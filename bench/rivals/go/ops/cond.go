// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

package main

import (
	"sync"
	"sync/atomic"
)

func init() {
	// A round trip: each of two goroutines hands the turn to the other.
	add("Cond/pingpong", both, func(workers, n int) {
		var mutex sync.Mutex
		cond := sync.NewCond(&mutex)
		turn := 0
		var next atomic.Int32
		inGoroutines(2, func() {
			me := int(next.Add(1)) - 1
			for i := 0; i < n; i++ {
				mutex.Lock()
				for turn != me {
					cond.Wait()
				}
				turn = 1 - me
				cond.Signal()
				mutex.Unlock()
			}
		})
	})
}
