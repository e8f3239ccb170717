// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
)

type totals struct {
	bytes, files, binary, links, failed atomic.Int64
}

func (t *totals) fail(path string, err error) {
	t.failed.Add(1)
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		err = pathError.Err
	}
	fmt.Fprintf(os.Stderr, "wordfreq: %s: %v\n", path, err)
}

var errShrank = errors.New("it shrank while being read")

// count counts with one goroutine that walks and jobs that count, each into a table of its own.
// Whoever opens a file of several chunks puts the rest of it back before it counts its chunk.
func count(paths []string, jobs int, t *totals) *wordTable {
	queue := newWorkQueue()
	var result handedIn
	var group sync.WaitGroup
	group.Add(1 + jobs)
	go func() {
		defer group.Done()
		walk(paths, visitor{
			file:   func(path string) { queue.push(work{path: path}) },
			link:   func(string) { t.links.Add(1) },
			failed: t.fail,
		})
		queue.close()
	}()
	for i := 0; i < jobs; i++ {
		go func() {
			defer group.Done()
			table := newWordTable()
			var buffer []byte
			for {
				w, ok := queue.pop()
				if !ok {
					break
				}
				countChunk(w, queue, table, &buffer, t)
				queue.done()
			}
			result.handIn(table)
		}()
	}
	group.Wait()
	return result.table
}

func countChunk(w work, queue *workQueue, table *wordTable, buffer *[]byte, t *totals) {
	if w.file == nil {
		f, err := openFile(w.path)
		if err != nil {
			t.fail(w.path, err)
			return
		}
		binary, err := f.binary(buffer)
		if err != nil || binary {
			f.Close()
			if err != nil {
				t.fail(w.path, err)
			} else {
				t.binary.Add(1)
			}
			return
		}
		t.files.Add(1)
		w.file = f
	}
	defer w.file.chunkDone()
	if w.offset+chunkSize < w.file.size {
		queue.putBack(work{w.path, w.file, w.offset + chunkSize})
	}
	text, err := readChunk(w.file, w.offset, buffer)
	if err == nil && text.cutShort {
		err = errShrank
	}
	if err != nil && !w.file.failed.Swap(true) {
		t.fail(w.path, err)
	}
	countWords(text.words, table)
	t.bytes.Add(text.bytes)
}

// handedIn is where the sum of all tables grows from hand to hand.
type handedIn struct {
	mu    sync.Mutex
	table *wordTable
}

// handIn takes the table it finds and adds it to its own; if it finds none, it leaves its own.
func (h *handedIn) handIn(table *wordTable) {
	for {
		h.mu.Lock()
		other := h.table
		if other == nil {
			h.table = table
			h.mu.Unlock()
			return
		}
		h.table = nil
		h.mu.Unlock()
		table = merge(table, other)
	}
}
