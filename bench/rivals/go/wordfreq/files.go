// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
)

const (
	chunkSize   = 256 * 1024
	binaryProbe = 8 * 1024
	more        = 4096 // read at a time to find the end of a chunk's last word
)

// visitor holds the calls for what walk finds; each may be called many times.
type visitor struct {
	file   func(path string)
	link   func(path string)
	failed func(path string, err error)
}

// walk visits every regular file at or below paths. Symbolic links are not followed.
func walk(paths []string, visit visitor) {
	for _, root := range paths {
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				visit.failed(path, err)
			case d.Type()&fs.ModeSymlink != 0:
				visit.link(path)
			case d.Type().IsRegular():
				visit.file(path)
			}
			return nil
		})
	}
}

// file is a regular file open for reading; several goroutines may read it at once.
type file struct {
	*os.File
	size   int64        // when it was opened
	chunks atomic.Int64 // not yet done with; the last one closes the file
	failed atomic.Bool
}

func openFile(path string) (*file, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: syscall.EINVAL}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	opened := &file{File: f, size: info.Size()}
	opened.chunks.Store(max(1, (opened.size+chunkSize-1)/chunkSize))
	return opened, nil
}

func (f *file) chunkDone() {
	if f.chunks.Add(-1) == 0 {
		f.Close()
	}
}

// read fills into from offset; it reads less only where the file ends.
func (f *file) read(offset int64, into []byte) (int, error) {
	n, err := f.ReadAt(into, offset)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// binary reports whether there is a NUL in the first 8 KiB.
func (f *file) binary(buffer *[]byte) (bool, error) {
	head := room(buffer, 0, binaryProbe)
	n, err := f.read(0, head)
	return bytes.IndexByte(head[:n], 0) >= 0, err
}

// room makes room for more bytes after the first used ones.
func room(buffer *[]byte, used, more int) []byte {
	if len(*buffer) < used+more {
		grown := make([]byte, max(used+more, used*2))
		copy(grown, (*buffer)[:used])
		*buffer = grown
	}
	return (*buffer)[used : used+more]
}

type text struct {
	words    []byte // whole words, in the reader's buffer
	bytes    int64  // how much of the file it stands for
	cutShort bool   // the file ended before the size it had
}

// readChunk reads the chunk that begins at offset. Between chunks the text is cut after the first
// separator at the chunk's last byte or later, so every word is in one chunk.
func readChunk(f *file, offset int64, buffer *[]byte) (text, error) {
	start := max(0, offset-1) // one byte more: if it is a separator, a word begins right after it
	stop := offset + chunkSize
	last := stop >= f.size

	own := int(stop - start)
	got, err := f.read(start, room(buffer, 0, own))
	if err != nil {
		return text{}, err
	}
	ended := got < own
	result := text{
		bytes:    max(0, start+int64(got)-offset),
		cutShort: start+int64(got) < min(stop, f.size),
	}
	begin := 0
	if offset > 0 {
		begin = findSeparator((*buffer)[:got], 0) + 1
	}
	if begin > got {
		return result, nil // all of it is inside a word that began in an earlier chunk
	}
	findEnd := func(from int) int {
		if last {
			return int(^uint(0) >> 1)
		}
		return findSeparator((*buffer)[:got], from) + 1
	}
	end := findEnd(own - 1)
	for end > got && !ended {
		into := room(buffer, got, max(got/2, more))
		from := got
		n, err := f.read(start+int64(got), into)
		if err != nil {
			return text{}, err
		}
		got += n
		ended = n < len(into)
		if last {
			result.bytes += int64(n)
		}
		end = findEnd(from)
	}
	result.words = (*buffer)[begin:min(end, got)]
	return result, nil
}
