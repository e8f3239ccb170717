// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

package main

import "sync"

func init() {
	add("Once/done", one, func(workers, n int) {
		var once sync.Once
		f := func() {}
		once.Do(f)
		for i := 0; i < n; i++ {
			once.Do(f)
		}
	})
}
