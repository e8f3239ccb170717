// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

package main

import (
	"slices"
	"sync"
)

// The programs of bench/harness/forkjoin.h: a goroutine for each part, and a WaitGroup.

func expect(right bool) {
	if !right {
		panic("wrong result")
	}
}

func fib(n int) int {
	if n < 2 {
		return n
	}
	var first int
	var group sync.WaitGroup
	group.Add(1)
	go func() {
		defer group.Done()
		first = fib(n - 1)
	}()
	second := fib(n - 2)
	group.Wait()
	return first + second
}

func sumLeaves(number, size int) int {
	if size == 1 {
		return number
	}
	var parts [10]int
	var group sync.WaitGroup
	group.Add(len(parts))
	for i := range parts {
		go func() {
			defer group.Done()
			parts[i] = sumLeaves(number+i*(size/10), size/10)
		}()
	}
	group.Wait()
	sum := 0
	for _, part := range parts {
		sum += part
	}
	return sum
}

func quicksort(values []uint32) {
	const alone, insertion = 1000, 16
	if len(values) <= insertion {
		for at, value := range values {
			hole := at
			for ; hole > 0 && values[hole-1] > value; hole-- {
				values[hole] = values[hole-1]
			}
			values[hole] = value
		}
		return
	}
	pivot := values[len(values)/2]
	low, high := 0, len(values)-1
	for low <= high {
		for values[low] < pivot {
			low++
		}
		for values[high] > pivot {
			high--
		}
		if low <= high {
			values[low], values[high] = values[high], values[low]
			low++
			high--
		}
	}
	if len(values) < alone {
		quicksort(values[:high+1])
		quicksort(values[low:])
		return
	}
	var group sync.WaitGroup
	group.Add(1)
	go func() {
		defer group.Done()
		quicksort(values[:high+1])
	}()
	quicksort(values[low:])
	group.Wait()
}

func queens(all, columns, left, right uint32, depth int) int {
	if columns == all {
		return 1
	}
	free := all &^ (columns | left | right)
	sum := 0
	if depth == 0 {
		for free != 0 {
			bit := free & -free
			free ^= bit
			sum += queens(all, columns|bit, (left|bit)<<1, (right|bit)>>1, 0)
		}
		return sum
	}
	var parts [32]int
	count := 0
	var group sync.WaitGroup
	for free != 0 {
		bit := free & -free
		free ^= bit
		part := &parts[count]
		count++
		group.Add(1)
		go func() {
			defer group.Done()
			*part = queens(all, columns|bit, (left|bit)<<1, (right|bit)>>1, depth-1)
		}()
	}
	group.Wait()
	for _, part := range parts {
		sum += part
	}
	return sum
}

func multiply(a, b, c []float64, size, stride int) {
	const alone = 32
	if size <= alone {
		for i := range size {
			for k := range size {
				factor := a[i*stride+k]
				from, to := b[k*stride:k*stride+size], c[i*stride:i*stride+size]
				for j := range to {
					to[j] += factor * from[j]
				}
			}
		}
		return
	}
	half := size / 2
	for k := range 2 {
		var group sync.WaitGroup
		group.Add(4)
		for i := range 2 {
			for j := range 2 {
				go func() {
					defer group.Done()
					multiply(a[(i*stride+k)*half:], b[(k*stride+j)*half:], c[(i*stride+j)*half:],
						half, stride)
				}()
			}
		}
		group.Wait()
	}
}

func addProgram(name string, program func()) {
	addIn("ms", "ForkJoin/"+name, both, func(_, n int) {
		for range n {
			program()
		}
	})
}

func filled(count int, value float64) []float64 {
	return slices.Repeat([]float64{value}, count)
}

func init() {
	addProgram("fib", func() { expect(fib(20) == 6765) })
	addProgram("skynet", func() { expect(sumLeaves(0, 1_000_000) == 499_999_500_000) })
	addProgram("quicksort", func() {
		values := make([]uint32, 1_000_000)
		next := uint32(1)
		for i := range values {
			next = next*1664525 + 1013904223
			values[i] = next
		}
		quicksort(values)
		expect(slices.IsSorted(values))
	})
	addProgram("queens", func() { expect(queens(1<<11-1, 0, 0, 0, 4) == 2680) })
	addProgram("matmul", func() {
		const size = 512
		c := make([]float64, size*size)
		multiply(filled(size*size, 1), filled(size*size, 2), c, size, size)
		expect(c[0] == 2*size && c[len(c)-1] == 2*size)
	})
}
