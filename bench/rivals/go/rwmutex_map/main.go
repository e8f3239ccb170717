// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Go's map under a sync.RWMutex, a library of its own in the table.
package main

import (
	"sync"

	"hamgam/bench/harness"
	"hamgam/bench/mapcases"
)

type guarded[K comparable] struct {
	mutex sync.RWMutex
	m     map[K]int64
}

func (g *guarded[K]) Load(key K) bool {
	g.mutex.RLock()
	_, ok := g.m[key]
	g.mutex.RUnlock()
	return ok
}

func (g *guarded[K]) Store(key K, value int64) {
	g.mutex.Lock()
	g.m[key] = value
	g.mutex.Unlock()
}

func (g *guarded[K]) Delete(key K) {
	g.mutex.Lock()
	delete(g.m, key)
	g.mutex.Unlock()
}

func main() {
	harness.Main(mapcases.Cases(
		func() mapcases.Map[int64] { return &guarded[int64]{m: map[int64]int64{}} },
		func() mapcases.Map[string] { return &guarded[string]{m: map[string]int64{}} }))
}
