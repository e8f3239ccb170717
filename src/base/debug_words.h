// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include <cstdlib>
#include <string_view>

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// Is the word among those, with commas between, of HAMGAM_DEBUG in the environment?
inline bool debug_asks_for(std::string_view word) noexcept {
  const char* const words = std::getenv("HAMGAM_DEBUG");
  if (words == nullptr) {
    return false;
  }
  std::string_view rest = words;
  for (;;) {
    std::size_t const end = rest.find(',');
    if (rest.substr(0, end) == word) {
      return true;
    }
    if (end == std::string_view::npos) {
      return false;
    }
    rest.remove_prefix(end + 1);
  }
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
