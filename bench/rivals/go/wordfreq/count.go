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

// count counts with one goroutine that walks and jobs that count, each into counts of its own.
// Whoever opens a file of several chunks puts the rest of it back before it counts its chunk.
func count(paths []string, jobs int, t *totals) *wordCounts {
	queue := newWorkQueue()
	all := make([]*wordCounts, jobs)
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
	for i := range all {
		all[i] = newWordCounts()
		go func(counts *wordCounts) {
			defer group.Done()
			var buffer []byte
			for {
				w, ok := queue.pop()
				if !ok {
					break
				}
				countChunk(w, queue, counts, &buffer, t)
				queue.done()
			}
		}(all[i])
	}
	group.Wait()
	return merge(all)
}

func countChunk(w work, queue *workQueue, counts *wordCounts, buffer *[]byte, t *totals) {
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
	countWords(text.words, counts)
	t.bytes.Add(text.bytes)
}

// merge gathers each shard in a goroutine of its own.
func merge(counts []*wordCounts) *wordCounts {
	var group sync.WaitGroup
	group.Add(shards)
	for s := range counts[0] {
		go func() {
			defer group.Done()
			for _, other := range counts[1:] {
				counts[0][s] = mergeTables(counts[0][s], other[s])
			}
		}()
	}
	group.Wait()
	return counts[0]
}
