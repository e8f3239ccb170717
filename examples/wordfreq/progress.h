// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// The progress bar, and messages that do not get mixed up with it.
#pragma once

#include <chrono>
#include <string_view>

#include "count.h"

namespace wordfreq {

// Draws one line on standard error. Does nothing unless it is on.
class Progress {
 public:
  static constexpr std::chrono::milliseconds kPeriod{100};

  Progress(const Totals& totals, bool on) : totals_(totals), on_(on) {}

  void draw() const;
  void clear() const;

 private:
  const Totals& totals_;
  const bool on_;
};

// One that a line can be drawn on again and again.
[[nodiscard]] bool stderr_is_terminal() noexcept;

// One line on standard error, over the progress bar if there is one. What would move a terminal's
// cursor, or else is no text, is shown as \x1b.
void complain(std::string_view path, std::string_view why);

}  // namespace wordfreq
