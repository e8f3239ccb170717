// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// A trace that somebody asked the pages for: from its construction until end(), in a file that has
// no name.

#include <cstdint>
#include <string>

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

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
  int file_;
  std::uint64_t number_ = 0;
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
