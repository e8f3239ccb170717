// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Traces that somebody asked the pages for.

#include <cstdint>
#include <optional>
#include <string>

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// A file that has no name. Throws std::system_error.
class MemoryFile {
 public:
  MemoryFile();
  ~MemoryFile();
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  [[nodiscard]] int get() const noexcept { return file_; }
  [[nodiscard]] std::string text() const;

 private:
  int file_;
};

// One that is recorded for them: from its construction until end().
class PageTrace {
 public:
  // Throws std::system_error, as if a trace is on already, or std::bad_alloc.
  PageTrace();
  ~PageTrace();  // gives it up
  PageTrace(const PageTrace&) = delete;
  PageTrace& operator=(const PageTrace&) = delete;

  // What was recorded, as JSON. Throws as the constructor.
  [[nodiscard]] std::string end();

 private:
  MemoryFile file_;
  std::uint64_t number_ = 0;
};

// What the program's own trace has until now, the newest; it goes on. `packets`: in Perfetto's
// form, else as JSON. Nothing: there is none. Throws std::system_error or std::bad_alloc.
[[nodiscard]] std::optional<std::string> flight(bool packets);

}  // namespace hamgam::inline HAMGAM_ABI::detail
