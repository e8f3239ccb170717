// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// From std::chrono to the nanoseconds of the monotonic clock that all waiting is measured in.
// Durations saturate: what is too long for 64 bits is for ever, what is negative is over.

#include <chrono>
#include <cstdint>
#include <type_traits>

#include "hamgam/detail/clock.h"
#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

inline constexpr std::int64_t kNoDeadline = INT64_MAX;

// Rounded up: never early.
template <class Rep, class Period>
constexpr std::int64_t saturated_nanos(const std::chrono::duration<Rep, Period>& d) noexcept {
  auto const seconds = std::chrono::duration<long double>(d).count();
  if (!(seconds > 0)) {  // NaN too
    return 0;
  }
  if (seconds >= 9.2e9L) {
    return kNoDeadline;
  }
  return std::chrono::ceil<std::chrono::nanoseconds>(d).count();
}

inline std::int64_t nanos_now() noexcept { return Clock::now().time_since_epoch().count(); }

// The moment `d` from now.
template <class Rep, class Period>
std::int64_t deadline_after(const std::chrono::duration<Rep, Period>& d) noexcept {
  std::int64_t const wait = saturated_nanos(d);
  std::int64_t const time = nanos_now();
  return wait >= kNoDeadline - time ? kNoDeadline : time + wait;
}

template <class C>
inline constexpr bool kMeasuresOurTime =
    std::is_same_v<C, Clock> || std::is_same_v<C, std::chrono::steady_clock>;

// Runs attempt(deadline) -> bool until it is true or `t` has passed on its own clock, which may be
// set back or forward meanwhile if it is not steady.
template <class C, class D, class Attempt>
bool attempt_until(const std::chrono::time_point<C, D>& t, Attempt attempt) {
  if constexpr (kMeasuresOurTime<C>) {
    return attempt(saturated_nanos(t.time_since_epoch()));
  } else {
    for (;;) {
      if (attempt(deadline_after(t - C::now()))) {
        return true;
      }
      if (C::now() >= t) {
        return false;
      }
    }
  }
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
