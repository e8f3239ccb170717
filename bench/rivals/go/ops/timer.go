// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

package main

import (
	"time"

	"hamgam/bench/harness"
)

func init() {
	add("Timer/create_stop", both, func(workers, n int) {
		share := harness.NewShare(n)
		inGoroutines(workers, func() {
			for count := share.Take(); count > 0; count = share.Take() {
				for i := 0; i < count; i++ {
					time.NewTimer(time.Hour).Stop()
				}
			}
		})
	})
	add("Timer/after", both, func(workers, n int) {
		share := harness.NewShare(n)
		inGoroutines(workers, func() {
			for count := share.Take(); count > 0; count = share.Take() {
				for i := 0; i < count; i++ {
					<-time.After(1)
				}
			}
		})
	})
}
