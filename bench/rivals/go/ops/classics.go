// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

package main

// skynet sends the sum of `size` leaves, the first of which is `number`: ten parts, each a
// goroutine that does the same.
func skynet(ch chan int, number, size int) {
	if size == 1 {
		ch <- number
		return
	}
	parts := make(chan int)
	for i := 0; i < 10; i++ {
		go skynet(parts, number+i*(size/10), size/10)
	}
	sum := 0
	for i := 0; i < 10; i++ {
		sum += <-parts
	}
	ch <- sum
}

const (
	leaves   = 1_000_000
	ringSize = 503
)

func init() {
	// A million leaves.
	addIn("ms", "Skynet", both, func(workers, n int) {
		for i := 0; i < n; i++ {
			ch := make(chan int)
			go skynet(ch, 0, leaves)
			if <-ch != leaves/2*(leaves-1) {
				panic("wrong sum")
			}
		}
	})
	// One pass of a token round 503 goroutines.
	add("ThreadRing", both, func(workers, n int) {
		first := make(chan int)
		done := make(chan struct{})
		from := first
		for i := 1; i < ringSize; i++ {
			to := make(chan int)
			go pass(from, to, done)
			from = to
		}
		go pass(from, first, done)
		first <- n
		for i := 0; i < ringSize; i++ {
			<-done
		}
	})
}

// pass hands on the number of passes left; -1 tells all to go home.
func pass(from <-chan int, to chan<- int, done chan<- struct{}) {
	for left := range from {
		if left < 0 {
			if left > -ringSize {
				to <- left - 1
			}
			break
		}
		to <- left - 1
	}
	done <- struct{}{}
}
