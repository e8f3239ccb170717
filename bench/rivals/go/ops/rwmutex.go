// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

package main

import (
	"sync"

	"hamgam/bench/harness"
)

// readWrite locks one RWMutex in many goroutines: every writeEach-th time to write; 0: never.
func readWrite(workers, n, writeEach int) {
	var mutex sync.RWMutex
	share := harness.NewShare(n)
	inGoroutines(workers, func() {
		turn := writeEach
		for count := share.Take(); count > 0; count = share.Take() {
			for i := 0; i < count; i++ {
				turn--
				if turn == 0 {
					turn = writeEach
					mutex.Lock()
					mutex.Unlock()
				} else {
					mutex.RLock()
					mutex.RUnlock()
				}
			}
		}
	})
}

func init() {
	add("RWMutex/read", both, func(workers, n int) { readWrite(workers, n, 0) })
	add("RWMutex/write", both, func(workers, n int) { readWrite(workers, n, 1) })
	add("RWMutex/write1", both, func(workers, n int) { readWrite(workers, n, 100) })
	add("RWMutex/write10", both, func(workers, n int) { readWrite(workers, n, 10) })
}
