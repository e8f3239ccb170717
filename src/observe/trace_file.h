// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// A trace as a file: slices on tracks, arrows between them, counters.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "os/clock.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// Text or bytes into an open file. After an error all else is left out.
class TraceOutput {
 public:
  explicit TraceOutput(int descriptor) : descriptor_(descriptor) {}

  void put(std::string_view text) {
    if (buffer_.size() + text.size() > kSize) {
      flush();
    }
    buffer_ += text;
  }
  void flush();
  [[nodiscard]] int error() const noexcept { return error_; }

 private:
  static constexpr std::size_t kSize = std::size_t{64} * 1024;

  int const descriptor_;
  int error_ = 0;
  std::string buffer_;
};

struct TraceTrack {
  enum Group : int { kWorkers = 1, kRegions = 2 };
  Group group;
  std::uint64_t number;  // of the thread, in kWorkers; in the order of coming, in kRegions
};

struct TraceArrow {
  std::uint64_t id;  // not 0
  Nanos time;
  bool spawns;
};

struct TraceSlice {
  TraceTrack track;
  Nanos begin;
  Nanos end;
  std::string_view name;
  std::uint64_t goroutine = 0;
  std::string_view why = {};                        // it ended; or ""
  std::uint64_t comes_from = 0;                     // the arrow that ends at its beginning
  const std::vector<TraceArrow>* leaves = nullptr;  // those that begin in it
};

// All may throw std::bad_alloc.
class TraceFile {
 public:
  virtual ~TraceFile() = default;
  virtual void track(const TraceTrack& track, std::string_view name) = 0;
  virtual void slice(const TraceSlice& slice) = 0;
  virtual void counters(Nanos time, std::int64_t goroutines, std::int64_t runnable) = 0;
  // The last.
  virtual void end(std::uint64_t records, std::uint64_t lost) = 0;
};

// Chrome's, which Perfetto reads, too.
std::unique_ptr<TraceFile> json_trace(TraceOutput& output);

}  // namespace hamgam::inline HAMGAM_ABI::detail
