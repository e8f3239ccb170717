// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// RateLimiter: how often something may happen (Go: golang.org/x/time/rate).
//
//   RateLimiter limiter(100, 10);  // 100 a second, after a quiet time 10 at once
//   limiter.wait();                // until the next one may happen
//   if (!limiter.allow()) refuse();
//
// A bucket of tokens: `burst` of them at most, full in the beginning, filled at `per_second`. Who
// wants one when there is none takes it in advance and waits for its time; so waiters are served in
// the order in which they came, and a big request is not starved by small ones. Time is steady.
// per_second may be infinite (std::numeric_limits<double>::infinity()): then burst does not matter.
// With 0 or less there are no tokens but those that are in the bucket. From goroutines and plain
// threads alike; no goroutine of its own.
//
// Happens-before: orders nothing, but a request to stop is before the return of the wait that it
// ends.

#include <chrono>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <utility>

#include "hamgam/detail/config.h"
#include "hamgam/detail/deadline.h"
#include "hamgam/detail/inner_mutex.h"
#include "hamgam/detail/token_bucket.h"

namespace hamgam::inline HAMGAM_ABI {

class RateLimiter;

// A permission for a time to come. Use it then, or cancel it. Move-only; one that was moved from is
// not ok. Its RateLimiter must outlive it.
class [[nodiscard]] Reservation {
 public:
  // Not ok.
  Reservation() noexcept = default;
  Reservation(Reservation&& other) noexcept
      : limiter_(std::exchange(other.limiter_, nullptr)), promise_(other.promise_) {}
  // What it had is not cancelled.
  Reservation& operator=(Reservation&& other) noexcept {
    limiter_ = std::exchange(other.limiter_, nullptr);
    promise_ = other.promise_;
    return *this;
  }

  // False if more was asked for than can ever be had at once (n > burst).
  [[nodiscard]] bool ok() const noexcept { return limiter_ != nullptr; }
  // From now until it may happen; 0: at once. Not ok, or with no tokens to come:
  // nanoseconds::max().
  [[nodiscard]] HAMGAM_API std::chrono::nanoseconds delay() const;
  // It will not happen: gives back what others can still use, unless its time has come. Once.
  HAMGAM_API void cancel();

 private:
  friend class RateLimiter;
  Reservation(RateLimiter& limiter, const detail::TokenPromise& promise) noexcept
      : limiter_(&limiter), promise_(promise) {}

  RateLimiter* limiter_ = nullptr;
  detail::TokenPromise promise_;
};

class RateLimiter {
 public:
  // `per_second` on average; `burst` at once at most, which are there at first. What is negative or
  // not a number counts as 0.
  RateLimiter(double per_second, int burst) noexcept : bucket_(per_second, burst) {}
  RateLimiter(const RateLimiter&) = delete;
  RateLimiter& operator=(const RateLimiter&) = delete;

  // May n happen now? If not, nothing is taken. Does not wait. A negative n is the Panic "rate:
  // negative count", here and below.
  [[nodiscard]] HAMGAM_API bool allow(int n = 1);

  // Blocks until n may happen. Panic "rate: Wait(n=N) exceeds limiter's burst B". These throw
  // std::bad_alloc if there is no memory to wait: what others can still use is given back.
  HAMGAM_API void wait(int n = 1);

  // False if they may not happen in time: told at once, as it is known, and nothing is taken. What
  // may happen now is granted in any case. The Panic of wait() if n is above the burst.
  template <class Rep, class Period>
  [[nodiscard]] bool wait_for(const std::chrono::duration<Rep, Period>& d, int n = 1) {
    return wait_deadline(detail::deadline_after(d), n);
  }
  template <class C, class D>
  [[nodiscard]] bool wait_until(const std::chrono::time_point<C, D>& t, int n = 1) {
    return wait_deadline(detail::deadline_at(t), n);
  }
  // False if stop was requested before: what others can still use is given back, which is less than
  // n if others have reserved after it (as Go's Cancel). What may happen now is granted in any
  // case. The Panic of wait() if n is above the burst.
  [[nodiscard]] HAMGAM_API bool wait(std::stop_token token, int n = 1);

  // A permission for n, for as soon as may be.
  HAMGAM_API Reservation reserve(int n = 1);

  // From now on; what was promised stays.
  HAMGAM_API void set_limit(double per_second);
  HAMGAM_API void set_burst(int burst);

  // As they are now.
  [[nodiscard]] HAMGAM_API double limit() const;
  [[nodiscard]] HAMGAM_API int burst() const;
  // How many there are now; less than 0: that many are promised.
  [[nodiscard]] HAMGAM_API double tokens() const;

 private:
  friend class Reservation;

  HAMGAM_API bool wait_deadline(std::int64_t deadline, int n);
  std::optional<detail::TokenPromise> take(int n, std::int64_t until);
  std::optional<detail::TokenPromise> take_to_wait(int n, std::int64_t until);

  mutable detail::InnerMutex mutex_;
  detail::TokenBucket bucket_;  // under mutex_
};

}  // namespace hamgam::inline HAMGAM_ABI
