// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

package main

import "sync"

// work is a file that nobody has opened yet, or the rest of one.
type work struct {
	path   string
	file   *file
	offset int64
}

// workQueue: push waits while the queue is full, pop while it is empty. Each pop is followed by a
// done; in between, putBack may add what is left of the work.
type workQueue struct {
	mu       sync.Mutex
	notEmpty sync.Cond
	notFull  sync.Cond
	work     []work // a queue that begins at head
	head     int
	rest     []work // what was put back: a stack that goes first
	busy     int    // popped and not done
	closed   bool
}

const queueCapacity = 65536

func newWorkQueue() *workQueue {
	q := &workQueue{}
	q.notEmpty.L = &q.mu
	q.notFull.L = &q.mu
	return q
}

func (q *workQueue) push(w work) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.work)-q.head >= queueCapacity {
		q.notFull.Wait()
	}
	q.work = append(q.work, w)
	q.notEmpty.Signal()
}

func (q *workQueue) putBack(w work) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.rest = append(q.rest, w)
	q.notEmpty.Signal()
}

func (q *workQueue) pop() (work, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		if n := len(q.rest); n > 0 {
			w := q.rest[n-1]
			q.rest = q.rest[:n-1]
			q.busy++
			return w, true
		}
		if q.head < len(q.work) {
			w := q.work[q.head]
			q.work[q.head] = work{}
			q.head++
			if q.head == len(q.work) {
				q.work, q.head = q.work[:0], 0
			} else if q.head >= queueCapacity {
				q.work, q.head = append(q.work[:0], q.work[q.head:]...), 0
			}
			q.busy++
			q.notFull.Signal()
			return w, true
		}
		if q.closed && q.busy == 0 {
			return work{}, false
		}
		q.notEmpty.Wait()
	}
}

func (q *workQueue) done() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.busy--
	if q.busy == 0 && q.closed {
		q.notEmpty.Broadcast()
	}
}

func (q *workQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.notEmpty.Broadcast()
}
