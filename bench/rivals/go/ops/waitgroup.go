// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

package main

import "sync"

func init() {
	add("WaitGroup/add_done", one, func(workers, n int) {
		var group sync.WaitGroup
		for i := 0; i < n; i++ {
			group.Add(1)
			group.Done()
		}
	})
	add("WaitGroup/wait", one, func(workers, n int) {
		var group sync.WaitGroup
		for i := 0; i < n; i++ {
			group.Wait()
		}
	})
}
