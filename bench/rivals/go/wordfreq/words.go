// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

package main

import (
	"errors"
	"math"
	"unicode"
	"unicode/utf8"
	"unsafe"
)

const (
	firstSlots = 1 << 8
	blockSize  = 1 << 14
	shards     = 16
	exactSize  = 8 // words up to this size are equal if their hashes and sizes are
)

// fold is an ASCII letter or digit in lower case; 0 for every other byte.
var fold = func() (fold [256]byte) {
	for c := '0'; c <= '9'; c++ {
		fold[c] = byte(c)
	}
	for c := 'a'; c <= 'z'; c++ {
		fold[c] = byte(c)
		fold[c-'a'+'A'] = byte(c)
	}
	return fold
}()

type entry struct {
	word  string
	hash  uint64
	count uint64
}

type slot struct {
	tag    uint32 // the upper half of the hash
	number uint32 // of the entry, counted from 1; 0: the slot is free
}

// wordTable is a hash table from word to count: small slots that point into a dense list of
// entries.
type wordTable struct {
	slots   []slot // a power of two, at most half of them taken
	entries []entry
	room    []byte // what is left of the last block of word bytes
}

func newWordTable() *wordTable {
	return &wordTable{slots: make([]slot, firstSlots)}
}

// add counts a word; it is copied if it is new.
func (t *wordTable) add(word []byte, hash uint64) {
	slots := t.slots
	mask := uint64(len(slots) - 1)
	tag := uint32(hash >> 32)
	for i := hash & mask; ; i = (i + 1) & mask {
		s := &slots[i]
		if s.number == 0 {
			t.insert(s, t.keep(word), hash, 1)
			return
		}
		if s.tag == tag {
			e := &t.entries[s.number-1]
			if e.hash == hash && len(e.word) == len(word) &&
				(len(word) <= exactSize || e.word == string(word)) {
				e.count++
				return
			}
		}
	}
}

// mergeTables returns the sum of two tables. No word is copied.
func mergeTables(t, other *wordTable) *wordTable {
	if len(other.entries) > len(t.entries) {
		t, other = other, t
	}
next:
	for i := range other.entries {
		from := &other.entries[i]
		mask := uint64(len(t.slots) - 1)
		tag := uint32(from.hash >> 32)
		for i := from.hash & mask; ; i = (i + 1) & mask {
			s := &t.slots[i]
			if s.number == 0 {
				t.insert(s, from.word, from.hash, from.count)
				continue next
			}
			if s.tag == tag {
				e := &t.entries[s.number-1]
				if e.hash == from.hash && e.word == from.word {
					e.count += from.count
					continue next
				}
			}
		}
	}
	return t
}

func (t *wordTable) insert(s *slot, word string, hash, count uint64) {
	if len(t.entries) == math.MaxUint32 {
		panic(errors.New("more than 4294967295 different words"))
	}
	t.entries = append(t.entries, entry{word, hash, count})
	*s = slot{uint32(hash >> 32), uint32(len(t.entries))}
	if len(t.entries)*2 > len(t.slots) {
		t.grow()
	}
}

func (t *wordTable) grow() {
	slots := make([]slot, len(t.slots)*2)
	mask := uint64(len(slots) - 1)
	for number := range t.entries {
		hash := t.entries[number].hash
		i := hash & mask
		for slots[i].number != 0 {
			i = (i + 1) & mask
		}
		slots[i] = slot{uint32(hash >> 32), uint32(number + 1)}
	}
	t.slots = slots
}

// keep copies the word into a block, so that there is no allocation for each word.
func (t *wordTable) keep(word []byte) string {
	if len(word) > len(t.room) {
		t.room = make([]byte, max(len(word), blockSize))
	}
	n := copy(t.room, word)
	kept := unsafe.String(&t.room[0], n)
	t.room = t.room[n:]
	return kept
}

// wordCounts is a table in shards, each for the words whose hashes begin with the same four bits.
type wordCounts [shards]*wordTable

func newWordCounts() *wordCounts {
	var counts wordCounts
	for i := range counts {
		counts[i] = newWordTable()
	}
	return &counts
}

// letterSize is the length of the letter or digit beyond ASCII that text begins with; 0 if there
// is none.
func letterSize(text []byte) int {
	r, size := utf8.DecodeRune(text)
	if r == utf8.RuneError && size <= 1 || !unicode.IsLetter(r) && !unicode.IsDigit(r) {
		return 0
	}
	return size
}

const (
	hashStart  = 0x243F6A8885A308D3
	hashFactor = 0x9E3779B97F4A7C15
)

func mix(hash, block uint64) uint64 {
	hash = (hash ^ block) * hashFactor
	return hash ^ hash>>32
}

// countWords counts the words of text and folds it to lower case in place.
func countWords(text []byte, counts *wordCounts) {
	for p := 0; p < len(text); p++ {
		begin := p
		hash, block := uint64(hashStart), uint64(0)
		for p < len(text) {
			b := text[p]
			if c := fold[b]; c != 0 {
				text[p] = c
				p++
				block = block<<8 | uint64(c)
				if block>>56 != 0 {
					hash = mix(hash, block)
					block = 0
				}
				continue
			}
			if b < utf8.RuneSelf {
				break
			}
			size := letterSize(text[p:])
			if size == 0 {
				break
			}
			for ; size > 0; size-- {
				block = block<<8 | uint64(text[p])
				p++
				if block>>56 != 0 {
					hash = mix(hash, block)
					block = 0
				}
			}
		}
		if p != begin {
			hash = mix(hash, block)
			counts[hash>>60].add(text[begin:p], hash)
		}
	}
}

// isSeparator reports whether b is an ASCII byte that belongs to no word.
func isSeparator(b byte) bool { return b < utf8.RuneSelf && fold[b] == 0 }

// findSeparator is the place of the first separator at from or later, or len(text).
func findSeparator(text []byte, from int) int {
	for from < len(text) && !isSeparator(text[from]) {
		from++
	}
	return from
}
