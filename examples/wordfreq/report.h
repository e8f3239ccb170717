// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// What was found, for people or as JSON.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "count.h"

namespace wordfreq {

struct Check {
  bool agrees = false;
  std::chrono::duration<double> elapsed{};  // of the plain loop
  std::int64_t bytes = 0;
};

struct Report {
  const WordCounts& counts;
  const Totals& totals;
  std::chrono::duration<double> elapsed{};
  std::size_t top = 0;
  bool skip_common = false;  // none of common_words.h among the top
  int jobs = 0;
  bool interrupted = false;
  std::optional<Check> check;
};

[[nodiscard]] std::string as_text(const Report& report);
[[nodiscard]] std::string as_json(const Report& report);

}  // namespace wordfreq
