// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Package mapcases is bench/map_cases.h in Go, line by line.
package mapcases

import (
	"fmt"
	"sort"
	"strings"
	"sync"
	"sync/atomic"

	"hamgam/bench/harness"
)

// Map is what is measured.
type Map[K comparable] interface {
	Load(key K) bool
	Store(key K, value int64)
	Delete(key K)
}

const (
	small  = 1000
	middle = 1_000_000
	large  = 10_000_000
)

func scatter(x uint64) uint64 {
	x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9
	x = (x ^ (x >> 27)) * 0x94D049BB133111EB
	return x ^ (x >> 31)
}

// A keySet tells the i-th key and which one is asked for, by a random number.
type keySet[K comparable] struct {
	at     func(i int64) K
	choose func(random uint64, count int64) int64
}

func uniform(random uint64, count int64) int64 {
	return int64((random >> 32) * uint64(count) >> 32)
}

func seq(int64) keySet[int64] {
	return keySet[int64]{func(i int64) int64 { return i }, uniform}
}

func scattered(i int64) int64 { return int64(scatter(uint64(i)) >> 1) }

func ints(int64) keySet[int64] { return keySet[int64]{scattered, uniform} }

func strs(count int64) keySet[string] {
	keys := make([]string, count)
	for i := range keys {
		keys[i] = fmt.Sprintf("user:%020d", scattered(int64(i)))
	}
	return keySet[string]{func(i int64) string { return keys[i] }, uniform}
}

func zipf(count int64) keySet[int64] {
	upto, sum := make([]float64, count), 0.0
	for i := range upto {
		sum += 1 / float64(i+1)
		upto[i] = sum
	}
	drawn := make([]int64, 1<<16)
	for i := range drawn {
		at := float64(scatter(uint64(i))>>11) / (1 << 53) * sum
		drawn[i] = min(count-1, int64(sort.Search(len(upto), func(j int) bool { return upto[j] > at })))
	}
	return keySet[int64]{scattered, func(random uint64, _ int64) int64 { return drawn[random>>48] }}
}

func inGoroutines(count int, body func()) {
	var all sync.WaitGroup
	for i := 0; i < count; i++ {
		all.Add(1)
		go func() {
			body()
			all.Done()
		}()
	}
	all.Wait()
}

func grow[K comparable](make func() Map[K], set func(int64) keySet[K], size int) harness.Op {
	keys := sync.OnceValue(func() keySet[K] { return set(int64(size)) })
	return func(workers, n int) {
		keys := keys()
		for left := n; left > 0; left -= size {
			m := make()
			share := harness.NewShare(min(left, size))
			var next atomic.Int64
			inGoroutines(workers, func() {
				for take := share.Take(); take > 0; take = share.Take() {
					end := next.Add(int64(take))
					for i := end - int64(take); i < end; i++ {
						m.Store(keys.at(i), i)
					}
				}
			})
		}
	}
}

func mix[K comparable](make func() Map[K], set func(int64) keySet[K], size, reads int, erase bool) harness.Op {
	count, step := int64(size), int64(1)
	if erase {
		count, step = 2*count, 2
	}
	keys := sync.OnceValue(func() keySet[K] { return set(count) })
	kept := sync.OnceValue(func() Map[K] {
		m := make()
		for i := int64(0); i < count; i += step {
			m.Store(keys().at(i), i)
		}
		return m
	})
	return func(workers, n int) {
		keys, m := keys(), kept()
		share := harness.NewShare(n)
		var found atomic.Int64
		var seeds atomic.Uint64
		inGoroutines(workers, func() {
			x, mine, turn := scatter(seeds.Add(1))|1, int64(0), false
			for take := share.Take(); take > 0; take = share.Take() {
				for i := 0; i < take; i++ {
					x ^= x << 13
					x ^= x >> 7
					x ^= x << 17
					key := keys.at(keys.choose(x*0x9E3779B97F4A7C15, count))
					if int((x&0xFFFF)*100>>16) < reads {
						if m.Load(key) {
							mine++
						}
						continue
					}
					if turn = !turn; erase && turn {
						m.Delete(key)
					} else {
						m.Store(key, int64(i))
					}
				}
			}
			found.Add(mine)
		})
	}
}

// Cases are those of bench::MapMatrix.
func Cases(ofInts func() Map[int64], ofStrs func() Map[string]) []harness.Case {
	cases := []harness.Case{
		{Name: "Map/grow_seq_1k", Op: grow(ofInts, seq, small)},
		{Name: "Map/grow_int_1k", Op: grow(ofInts, ints, small)},
		{Name: "Map/grow_seq_1M", Op: grow(ofInts, seq, middle)},
		{Name: "Map/grow_int_1M", Op: grow(ofInts, ints, middle)},
		{Name: "Map/grow_str_1k", Op: grow(ofStrs, strs, small)},
		{Name: "Map/mix_seq_1k_95", Op: mix(ofInts, seq, small, 95, false)},
		{Name: "Map/mix_int_1k_100", Op: mix(ofInts, ints, small, 100, false)},
		{Name: "Map/mix_int_1k_95", Op: mix(ofInts, ints, small, 95, false)},
		{Name: "Map/mix_int_1k_50", Op: mix(ofInts, ints, small, 50, false)},
		{Name: "Map/mix_int_1k_0", Op: mix(ofInts, ints, small, 0, false)},
		{Name: "Map/mix_zipf_1k_95", Op: mix(ofInts, zipf, small, 95, false)},
		{Name: "Map/mix_zipf_1k_50", Op: mix(ofInts, zipf, small, 50, false)},
		{Name: "Map/mix_str_1k_95", Op: mix(ofStrs, strs, small, 95, false)},
		{Name: "Map/mix_str_1k_50", Op: mix(ofStrs, strs, small, 50, false)},
		{Name: "Map/erase_int_1k_95", Op: mix(ofInts, ints, small, 95, true)},
		{Name: "Map/erase_int_1k_50", Op: mix(ofInts, ints, small, 50, true)},
		{Name: "Map/erase_int_1k_0", Op: mix(ofInts, ints, small, 0, true)},
		{Name: "Map/grow_int_10M", Op: grow(ofInts, ints, large)},
		{Name: "Map/mix_int_10M_95", Op: mix(ofInts, ints, large, 95, false)},
		{Name: "Map/mix_int_10M_50", Op: mix(ofInts, ints, large, 50, false)},
		{Name: "Map/erase_int_10M_50", Op: mix(ofInts, ints, large, 50, true)},
	}
	for i := range cases {
		cases[i].Workers = []int{1, 2}
		cases[i].Big = strings.Contains(cases[i].Name, "_10M")
	}
	return cases
}
