// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Time: the clock that deadlines are measured on, and sleeping.

#include <chrono>
#include <concepts>
#include <cstdint>
#include <stop_token>
#include <utility>

#include "hamgam/detail/clock.h"
#include "hamgam/detail/config.h"
#include "hamgam/detail/deadline.h"

namespace hamgam::inline HAMGAM_ABI {

namespace detail {
HAMGAM_API void sleep_until_nanos(std::int64_t deadline);
[[nodiscard]] HAMGAM_API bool sleep_until_nanos(std::int64_t deadline, std::stop_token token);
}  // namespace detail

// Suspends the calling goroutine (a plain thread: sleeps) for at least d; returns at once if d <=
// 0.
template <class Rep, class Period>
void sleep(const std::chrono::duration<Rep, Period>& d) {
  detail::sleep_until_nanos(detail::deadline_after(d));
}

// As above, until t.
template <class C, class D>
void sleep_until(const std::chrono::time_point<C, D>& t) {
  (void)detail::attempt_until(t, [](std::int64_t deadline) {
    detail::sleep_until_nanos(deadline);
    return detail::kMeasuresOurTime<C>;
  });
}

// False if stop was requested before the time was over.
template <class Rep, class Period>
[[nodiscard]] bool sleep(const std::chrono::duration<Rep, Period>& d, std::stop_token token) {
  return detail::sleep_until_nanos(detail::deadline_after(d), std::move(token));
}

// So that sleep(1) is not POSIX's, which would block the worker.
template <std::integral I>
void sleep(I) = delete;

}  // namespace hamgam::inline HAMGAM_ABI
