// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

package main

import (
	"sync"

	"hamgam/bench/harness"
)

func init() {
	// Of two channels one is ready; a select and a send.
	add("Select/two_ready", one, func(workers, n int) {
		a, b := make(chan int, 1), make(chan int, 1)
		a <- 0
		for i := 0; i < n; i++ {
			select {
			case <-a:
				b <- 0
			case <-b:
				a <- 0
			}
		}
	})
	// As many receivers as workers and as many senders, each selecting over three channels.
	add("Select/sync_contended", both, func(workers, n int) {
		a, b, c := make(chan int), make(chan int), make(chan int)
		done := make(chan struct{})
		share := harness.NewShare(n)
		var senders sync.WaitGroup
		for i := 0; i < workers; i++ {
			senders.Add(1)
			go func() {
				defer senders.Done()
				for {
					select {
					case a <- 0:
					case b <- 0:
					case c <- 0:
					case <-done:
						return
					}
				}
			}()
		}
		inGoroutines(workers, func() {
			for count := share.Take(); count > 0; count = share.Take() {
				for i := 0; i < count; i++ {
					select {
					case <-a:
					case <-b:
					case <-c:
					}
				}
			}
		})
		close(done)
		senders.Wait()
	})
	// Values from a sender to a receiver of its own, a thousand such pairs for each worker; all
	// receivers select on one more channel, which says that all is over.
	add("Select/shared_done", both, func(workers, n int) {
		const pairs = 1000
		done := make(chan struct{})
		share := harness.NewShare(n)
		var receivers sync.WaitGroup
		inGoroutines(pairs*workers, func() {
			ch := make(chan int)
			receivers.Add(1)
			go func() {
				defer receivers.Done()
				for {
					select {
					case <-ch:
					case <-done:
						return
					}
				}
			}()
			for count := share.Take(); count > 0; count = share.Take() {
				for i := 0; i < count; i++ {
					ch <- 0
				}
			}
		})
		close(done)
		receivers.Wait()
	})
}
