// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <iterator>
#include <string_view>

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

inline constexpr std::string_view kDebugWords[] = {"locks", "mutexes", "stuck", "waits"};

// The first word of HAMGAM_DEBUG in the environment, which has commas between them, for which
// `is_wanted` is true; empty: none.
template <class F>
std::string_view find_debug_word(F is_wanted) noexcept {
  const char* const words = std::getenv("HAMGAM_DEBUG");
  std::string_view rest = words != nullptr ? words : "";
  while (!rest.empty()) {
    std::size_t const end = std::min(rest.find(','), rest.size());
    if (end != 0 && is_wanted(rest.substr(0, end))) {
      return rest.substr(0, end);
    }
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return {};
}

inline bool debug_asks_for(std::string_view word) noexcept {
  return !find_debug_word([word](std::string_view one) { return one == word; }).empty();
}

inline std::string_view unknown_debug_word() noexcept {
  return find_debug_word([](std::string_view one) {
    return std::find(std::begin(kDebugWords), std::end(kDebugWords), one) == std::end(kDebugWords);
  });
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
