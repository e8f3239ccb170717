// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// The counting itself: with goroutines on all cores, and in one plain loop to check it.
#pragma once

#include <hamgam/atomic.h>
#include <hamgam/context.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "word_counts.h"

namespace wordfreq {

// What has happened so far. Written by all, read by the progress bar.
struct Totals {
  hamgam::Counter found_files;  // what the walk came across ...
  hamgam::Counter found_bytes;
  hamgam::Atomic<bool> found_all;
  hamgam::Counter done_files;  // ... and what of it is done with, counted or not
  hamgam::Counter done_bytes;
  hamgam::Counter bytes;  // counted
  hamgam::Counter files;  // text files counted
  hamgam::Counter binary;
  hamgam::Counter links;
  hamgam::Counter special;  // pipes, sockets, devices
  hamgam::Counter failed;   // files and directories that were not read, or only in part

  // There was something to read, but nothing of it could be.
  [[nodiscard]] bool nothing_read() const {
    return files.value() + binary.value() == 0 &&
           links.value() + special.value() + failed.value() > 0;
  }
};

struct Result {
  WordCounts counts;
  std::chrono::duration<double> elapsed{};
};

// Counts with `jobs` goroutines. The calling goroutine waits and draws the progress bar meanwhile.
// Once `ctx` is cancelled, what was counted until then is the result.
[[nodiscard]] Result count_parallel(const hamgam::Context& ctx,
                                    const std::vector<std::string>& paths, int jobs,
                                    bool show_progress, Totals& totals);

// The same with one loop and one table, and without a word about files that cannot be read.
[[nodiscard]] Result count_plain(const hamgam::Context& ctx, const std::vector<std::string>& paths,
                                 Totals& totals);

}  // namespace wordfreq
