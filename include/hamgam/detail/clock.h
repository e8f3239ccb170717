// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include <chrono>
#include <cstdint>

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI {

// A steady clock of nanoseconds (CLOCK_MONOTONIC, as std::chrono::steady_clock), on which every
// deadline here is measured. Meets Cpp17TrivialClock.
struct Clock {
  // What a clock has.
  using rep = std::int64_t;
  using period = std::nano;
  using duration = std::chrono::duration<rep, period>;
  using time_point = std::chrono::time_point<Clock>;
  static constexpr bool is_steady = true;

  // Nanoseconds since the system was started.
  static time_point now() noexcept {
    return time_point(std::chrono::steady_clock::now().time_since_epoch());
  }
};

// When something is over, or was due.
using TimePoint = Clock::time_point;

}  // namespace hamgam::inline HAMGAM_ABI
