// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

package main

import (
	"sync"
	"sync/atomic"

	"hamgam/bench/harness"
	"hamgam/bench/mapcases"
)

type syncMap[K comparable] struct{ m sync.Map }

func (s *syncMap[K]) Load(key K) bool {
	_, ok := s.m.Load(key)
	return ok
}
func (s *syncMap[K]) Store(key K, value int64) { s.m.Store(key, value) }
func (s *syncMap[K]) Delete(key K)             { s.m.Delete(key) }

const (
	hits   = 1023
	misses = 1
	half   = 128
)

func init() {
	cases = append(cases, mapcases.Cases(
		func() mapcases.Map[int64] { return new(syncMap[int64]) },
		func() mapcases.Map[string] { return new(syncMap[string]) })...)
	// Of 1024 keys all but one are there.
	add("Map/load_hits", both, func(workers, n int) {
		var m sync.Map
		for key := 0; key < hits; key++ {
			m.Store(key, key)
		}
		share := harness.NewShare(n)
		var loaded atomic.Int64
		inGoroutines(workers, func() {
			key, found := 0, int64(0)
			for count := share.Take(); count > 0; count = share.Take() {
				for i := 0; i < count; i++ {
					if _, ok := m.Load(key); ok {
						found++
					}
					key = (key + 1) % (hits + misses)
				}
			}
			loaded.Add(found)
		})
	})
	// Half of the keys are there, half are new each time.
	add("Map/load_or_store_balanced", both, func(workers, n int) {
		var m sync.Map
		for key := 0; key < half; key++ {
			m.Store(key, key)
		}
		share := harness.NewShare(n)
		var goroutines, loaded atomic.Int64
		inGoroutines(workers, func() {
			// Each goroutine's new keys are its own.
			fresh, found := int(goroutines.Add(1))<<40, int64(0)
			turn := 0
			for count := share.Take(); count > 0; count = share.Take() {
				for i := 0; i < count; i++ {
					key := turn
					if turn >= half {
						fresh++
						key = fresh
					}
					if _, ok := m.LoadOrStore(key, i); ok {
						found++
					}
					turn = (turn + 1) % (2 * half)
				}
			}
			loaded.Add(found)
		})
	})
}
