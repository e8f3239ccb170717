// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// The example wordfreq in Go: the same algorithm, structure and output, with Go's own means.
package main

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"
)

type wordCount struct {
	Word  string `json:"word"`
	Count uint64 `json:"count"`
}

type report struct {
	Top         []wordCount `json:"top"`
	Words       uint64      `json:"words"`
	Distinct    int         `json:"distinct"`
	Files       int64       `json:"files"`
	Bytes       int64       `json:"bytes"`
	Binary      int64       `json:"binary"`
	Links       int64       `json:"links"`
	Unreadable  int64       `json:"unreadable"`
	Jobs        int         `json:"jobs"`
	Seconds     float64     `json:"seconds"`
	MBPerSecond float64     `json:"mb_per_second"`
}

func before(a, b wordCount) int {
	return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Word, b.Word))
}

// top is the n most frequent words, most frequent first. It sorts whenever it has gathered twice as
// many as it wants.
func top(counts *wordCounts, n int) []wordCount {
	var best []wordCount
	cut := func() {
		slices.SortFunc(best, before)
		best = best[:min(n, len(best))]
	}
	least := uint64(0) // what the n best so far have at least
	for _, table := range counts {
		for i := range table.entries {
			e := &table.entries[i]
			if e.count < least {
				continue
			}
			best = append(best, wordCount{e.word, e.count})
			if n > 0 && len(best) >= 2*n {
				cut()
				least = best[n-1].Count
			}
		}
	}
	cut()
	return best
}

func main() {
	topN := flag.Int("top", 20, "how many of the most frequent words to print")
	jobs := flag.Int("jobs", runtime.GOMAXPROCS(0), "how many goroutines count, on as many cores")
	asJSON := flag.Bool("json", false, "print JSON")
	flag.Parse()
	if *topN < 0 || *jobs < 1 {
		flag.Usage()
		os.Exit(2)
	}
	paths := flag.Args()
	if len(paths) == 0 {
		paths = []string{"."}
	}
	for _, path := range paths {
		if _, err := os.Lstat(path); err != nil {
			fmt.Fprintln(os.Stderr, "wordfreq:", err)
			os.Exit(2)
		}
	}
	runtime.GOMAXPROCS(*jobs)

	start := time.Now()
	var t totals
	counts := count(paths, *jobs, &t)
	seconds := time.Since(start).Seconds()

	r := report{
		Top: top(counts, *topN), Files: t.files.Load(), Bytes: t.bytes.Load(),
		Binary: t.binary.Load(), Links: t.links.Load(), Unreadable: t.failed.Load(),
		Jobs: *jobs, Seconds: seconds, MBPerSecond: float64(t.bytes.Load()) / 1e6 / seconds,
	}
	for _, table := range counts {
		r.Distinct += len(table.entries)
		for i := range table.entries {
			r.Words += table.entries[i].count
		}
	}
	if *asJSON {
		if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
			fmt.Fprintln(os.Stderr, "wordfreq:", err)
			os.Exit(2)
		}
		return
	}
	for _, w := range r.Top {
		fmt.Printf("%12d  %s\n", w.Count, w.Word)
	}
	fmt.Printf("%d words, %d different, in %d text files of %.1f MB\n", r.Words, r.Distinct,
		r.Files, float64(r.Bytes)/1e6)
	fmt.Printf("Left out: %d binary, %d symbolic links, %d unreadable\n", r.Binary, r.Links,
		r.Unreadable)
	fmt.Printf("%.3f s, %.1f MB/s with %d jobs\n", r.Seconds, r.MBPerSecond, r.Jobs)
}
