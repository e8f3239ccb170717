// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

package main

import (
	"sync"

	"hamgam/bench/harness"
)

type buffer struct{ bytes [64]byte }

func init() {
	add("Pool/get_put", both, func(workers, n int) {
		pool := sync.Pool{New: func() any { return new(buffer) }}
		share := harness.NewShare(n)
		inGoroutines(workers, func() {
			for count := share.Take(); count > 0; count = share.Take() {
				for i := 0; i < count; i++ {
					b := pool.Get().(*buffer)
					b.bytes[0]++
					pool.Put(b)
				}
			}
		})
	})
}
