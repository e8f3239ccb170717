// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// A trace as a file: slices on tracks, arrows between them, counters.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "os/clock.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// Who is waited for does not get on.
class TraceStuck : public std::system_error {
 public:
  explicit TraceStuck(std::string what)
      : std::system_error(std::make_error_code(std::errc::timed_out)), what_(std::move(what)) {}
  [[nodiscard]] const char* what() const noexcept override { return what_.c_str(); }

 private:
  std::string what_;
};

// What it is whatever becomes the current folder; as it is if that has no name.
std::string absolute_path(const std::string& path);

// Returns a descriptor; what is in the file stays for now. `flags`: O_NONBLOCK, or 0: then who
// reads a pipe is waited for. Throws std::system_error; `who` throws it.
int open_trace_file(const std::string& path, int flags, const char* who);

// Text or bytes into an open file, instead of what is there, as soon as there is something to
// write. Who reads a pipe without O_NONBLOCK is waited for; with it, until nothing was taken for
// kTraceReader. After an error all else is left out.
inline constexpr int kTraceReader = 3000;  // milliseconds; less than who waits for it has
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
  // Throws std::system_error if there was an error, TraceStuck if it was that nobody reads.
  void check(const std::string& path, const char* who) const;

 private:
  static constexpr std::size_t kSize = std::size_t{64} * 1024;

  int const descriptor_;
  bool begun_ = false;
  int error_ = 0;
  bool unread_ = false;
  std::string buffer_;
};

// With a question mark for each byte that is none of a character's.
std::string valid_utf8(std::string_view text);

struct TraceTrack {
  enum Group : int { kWorkers = 1, kRegions = 2 };
  Group group;
  std::uint64_t number;  // of the thread, in kWorkers; in the order of coming, in kRegions
};

struct TraceSlice {
  std::string_view name;
  std::uint64_t goroutine = 0;
  std::uint64_t comes_from = 0;  // the arrow that ends at its beginning; 0: none
};

// It is told by time, but that what is seen late to have run from the beginning on comes late; what
// is on one track is told in its order. A track is named before it is used. All may throw
// std::bad_alloc.
class TraceFile {
 public:
  virtual ~TraceFile() = default;
  virtual void track(const TraceTrack& track, std::string_view name) = 0;
  virtual void begin(const TraceTrack& track, Nanos time, const TraceSlice& slice) = 0;
  // The innermost that is open there. `why`: it ended; or "".
  virtual void end(const TraceTrack& track, Nanos time, std::string_view why) = 0;
  // An arrow leaves what is open there, or else something without length that has this name. Not 0.
  virtual void arrow(const TraceTrack& track, Nanos time, std::string_view name,
                     std::uint64_t arrow) = 0;
  virtual void counters(Nanos time, std::int64_t goroutines, std::int64_t runnable) = 0;
  // The last.
  virtual void finish(Nanos time, std::uint64_t records, std::uint64_t lost) = 0;
};

// Chrome's, which Perfetto reads, too.
std::unique_ptr<TraceFile> json_trace(TraceOutput& output);

// Perfetto's own, a tenth of the size.
std::unique_ptr<TraceFile> perfetto_trace(TraceOutput& output);

}  // namespace hamgam::inline HAMGAM_ABI::detail
