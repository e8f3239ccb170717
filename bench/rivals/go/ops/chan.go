// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

package main

import (
	"sync"

	"hamgam/bench/harness"
)

// prodCons sends n values from `workers` producers to as many consumers.
func prodCons(workers, n, capacity int) {
	ch := make(chan int, capacity)
	share := harness.NewShare(n)
	var consumers sync.WaitGroup
	for i := 0; i < workers; i++ {
		consumers.Add(1)
		go func() {
			for range ch {
			}
			consumers.Done()
		}()
	}
	inGoroutines(workers, func() {
		for count := share.Take(); count > 0; count = share.Take() {
			for i := 0; i < count; i++ {
				ch <- i
			}
		}
	})
	close(ch)
	consumers.Wait()
}

const burst = 100

// bursts sends a hundred values and receives a hundred, in turn.
func bursts(share *harness.Share, ch chan int) {
	for count := share.Take(); count > 0; count = share.Take() {
		for left := count; left > 0; left -= burst {
			k := min(left, burst)
			for i := 0; i < k; i++ {
				ch <- i
			}
			for i := 0; i < k; i++ {
				<-ch
			}
		}
	}
}

func init() {
	// A round trip over two unbuffered channels.
	add("Chan/sync", both, func(workers, n int) {
		there, back := make(chan int), make(chan int)
		var echo sync.WaitGroup
		echo.Add(1)
		go func() {
			for v := range there {
				back <- v
			}
			echo.Done()
		}()
		for i := 0; i < n; i++ {
			there <- i
			<-back
		}
		close(there)
		echo.Wait()
	})
	add("Chan/prodcons0", both, func(workers, n int) { prodCons(workers, n, 0) })
	add("Chan/prodcons10", both, func(workers, n int) { prodCons(workers, n, 10) })
	add("Chan/prodcons100", both, func(workers, n int) { prodCons(workers, n, 100) })
	add("Chan/uncontended", both, func(workers, n int) {
		share := harness.NewShare(n)
		inGoroutines(workers, func() { bursts(share, make(chan int, burst)) })
	})
	add("Chan/contended", both, func(workers, n int) {
		share := harness.NewShare(n)
		ch := make(chan int, burst*workers)
		inGoroutines(workers, func() { bursts(share, ch) })
	})
}
