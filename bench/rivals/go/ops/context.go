// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

package main

import (
	"context"
	"time"
)

func init() {
	add("Context/with_cancel", one, func(workers, n int) {
		for i := 0; i < n; i++ {
			_, cancel := context.WithCancel(context.Background())
			cancel()
		}
	})
	add("Context/with_timeout", one, func(workers, n int) {
		for i := 0; i < n; i++ {
			_, cancel := context.WithTimeout(context.Background(), time.Hour)
			cancel()
		}
	})
}
