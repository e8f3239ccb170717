// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// bench/footprint_bench.cpp in Go: a program that links little, so that it weighs what Go weighs.
package main

import (
	"bytes"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"hamgam/bench/harness"
)

// privateBytes is resident memory that belongs to this process and to no file.
func privateBytes() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return -1
	}
	var kilobytes int64
	for _, line := range bytes.Split(status, []byte("\n")) {
		fields := bytes.Fields(line)
		if len(fields) < 2 {
			continue
		}
		if name := string(fields[0]); name == "RssAnon:" || name == "RssShmem:" {
			value, _ := strconv.ParseInt(string(fields[1]), 10, 64)
			kilobytes += value
		}
	}
	return kilobytes * 1024
}

func cpuMicroseconds() float64 {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	us := func(t syscall.Timeval) float64 { return float64(t.Sec)*1e6 + float64(t.Usec) }
	return us(usage.Utime) + us(usage.Stime)
}

func parkedCount(usual int) int {
	if count, err := strconv.Atoi(os.Getenv("HAMGAM_BENCH_PARKED")); err == nil && count > 0 {
		return count
	}
	return usual
}

// startOne starts a goroutine and waits for it.
func startOne() {
	var all sync.WaitGroup
	all.Add(1)
	go func() { all.Done() }()
	all.Wait()
}

func memoryStart(workers int) float64 {
	startOne()
	return float64(privateBytes()) / 1024
}

func parked(workers int) float64 {
	count := parkedCount(1_000_000)
	var gate, parked, ended sync.WaitGroup
	before := privateBytes()
	gate.Add(1)
	parked.Add(count)
	ended.Add(count)
	for i := 0; i < count; i++ {
		go func() {
			parked.Done()
			gate.Wait()
			ended.Done()
		}()
	}
	parked.Wait()
	bytes := privateBytes() - before
	gate.Done()
	ended.Wait()
	return float64(bytes) / float64(count)
}

const pause = 2 * time.Millisecond

// medianDelay is in microseconds; once returns how late something came.
func medianDelay(once func() time.Duration) float64 {
	var all [301]float64
	for i := range all {
		all[i] = float64(once()) / 1e3
	}
	slices.Sort(all[:])
	return all[len(all)/2]
}

func late(workers int) float64 {
	return medianDelay(func() time.Duration {
		due := time.Now().Add(pause)
		time.Sleep(pause)
		return time.Since(due)
	})
}

func startElsewhere(workers int) float64 {
	return medianDelay(func() time.Duration {
		time.Sleep(pause)
		var delay time.Duration
		var started atomic.Bool
		begun := time.Now()
		go func() {
			delay = time.Since(begun)
			started.Store(true)
		}()
		for !started.Load() {
		}
		return delay
	})
}

func idleCPU(workers int) float64 {
	const seconds = 2
	startOne()
	before := cpuMicroseconds()
	time.Sleep(seconds * time.Second)
	return (cpuMicroseconds() - before) / seconds
}

func main() {
	harness.Main([]harness.Case{
		{Name: "Go/memory_start", Workers: []int{1, 2}, Unit: "KB", Measure: memoryStart},
		{Name: "Go/parked", Workers: []int{2}, Unit: "bytes", Measure: parked, Big: true},
		{Name: "Go/idle_cpu", Workers: []int{2}, Unit: "us", Measure: idleCPU},
		{Name: "Timer/late", Workers: []int{2}, Unit: "us", Measure: late},
		{Name: "Go/start_elsewhere", Workers: []int{2}, Unit: "us", Measure: startElsewhere},
	})
}
