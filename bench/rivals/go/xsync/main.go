// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// The operations that Go has in golang.org/x/sync; a module of its own, for it has to be fetched.
package main

import (
	"context"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"hamgam/bench/harness"
)

const batch = 1000

func acquireRelease(workers, n int) {
	ctx := context.Background()
	s := semaphore.NewWeighted(1)
	for i := 0; i < n; i++ {
		s.Acquire(ctx, 1)
		s.Release(1)
	}
}

func groupGo(workers, n int) {
	for left := n; left > 0; left -= batch {
		var group errgroup.Group
		for i := min(left, batch); i > 0; i-- {
			group.Go(func() error { return nil })
		}
		group.Wait()
	}
}

func main() {
	harness.Main([]harness.Case{
		{Name: "Semaphore/uncontended", Workers: []int{1}, Op: acquireRelease},
		{Name: "ErrGroup/go", Workers: []int{1, 2}, Op: groupGo},
	})
}
