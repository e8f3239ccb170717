// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/rate.h"

#include <mutex>
#include <string>
#include <utility>

#include "hamgam/detail/fatal.h"
#include "hamgam/panic.h"
#include "hamgam/time.h"
#include "os/clock.h"

// Who waits has taken its tokens already and only sleeps until they are there: nobody wakes
// anybody, and the order is that of the takes. One that gives up gives them back, also if it can't
// sleep for want of memory.

namespace hamgam::inline HAMGAM_ABI {

using detail::kForever;
using detail::now;
using detail::TokenPromise;

namespace {

class CancelUnlessUsed {
 public:
  explicit CancelUnlessUsed(Reservation taken) noexcept : taken_(std::move(taken)) {}
  ~CancelUnlessUsed() {
    if (!used) {
      taken_.cancel();
    }
  }
  CancelUnlessUsed(const CancelUnlessUsed&) = delete;
  CancelUnlessUsed& operator=(const CancelUnlessUsed&) = delete;

  bool used = false;

 private:
  Reservation taken_;
};

}  // namespace

std::optional<TokenPromise> RateLimiter::take(int n, std::int64_t until) {
  if (n < 0) {
    detail::throw_panic("rate: negative count");
  }
  std::lock_guard const guard(mutex_);
  std::int64_t const time = now();
  return bucket_.take(time, n, until < time ? time : until);  // what is there is always given
}

std::optional<TokenPromise> RateLimiter::take_to_wait(int n, std::int64_t until) {
  auto promise = take(n, until);
  if (!promise) {
    std::lock_guard const guard(mutex_);
    if (n > bucket_.burst() && !bucket_.unlimited()) {
      throw Panic("rate: Wait(n=" + std::to_string(n) + ") exceeds limiter's burst " +
                  std::to_string(bucket_.burst()));
    }
  }
  return promise;
}

bool RateLimiter::allow(int n) { return take(n, 0).has_value(); }

void RateLimiter::wait(int n) { (void)wait_deadline(kForever, n); }

bool RateLimiter::wait_deadline(std::int64_t deadline, int n) {
  auto const promise = take_to_wait(n, deadline);
  if (!promise) {
    return false;
  }
  CancelUnlessUsed taken(Reservation(*this, *promise));
  detail::sleep_until_nanos(promise->at);
  taken.used = true;
  return true;
}

bool RateLimiter::wait(std::stop_token token, int n) {
  auto const promise = take_to_wait(n, kForever);
  if (!promise) {
    return false;
  }
  CancelUnlessUsed taken(Reservation(*this, *promise));
  taken.used = detail::sleep_until_nanos(promise->at, std::move(token));
  return taken.used;
}

Reservation RateLimiter::reserve(int n) {
  auto const promise = take(n, kForever);
  return promise ? Reservation(*this, *promise) : Reservation();
}

void RateLimiter::set_limit(double per_second) {
  std::lock_guard const guard(mutex_);
  bucket_.set_limit(now(), per_second);
}

void RateLimiter::set_burst(int burst) {
  std::lock_guard const guard(mutex_);
  bucket_.set_burst(now(), burst);
}

double RateLimiter::limit() const {
  std::lock_guard const guard(mutex_);
  return bucket_.limit();
}

int RateLimiter::burst() const {
  std::lock_guard const guard(mutex_);
  return bucket_.burst();
}

double RateLimiter::tokens() const {
  std::lock_guard const guard(mutex_);
  return bucket_.tokens(now());
}

std::chrono::nanoseconds Reservation::delay() const {
  if (limiter_ == nullptr || promise_.at == kForever) {
    return std::chrono::nanoseconds::max();
  }
  std::int64_t const time = now();
  return std::chrono::nanoseconds(promise_.at > time ? promise_.at - time : 0);
}

void Reservation::cancel() {
  if (limiter_ != nullptr) {
    std::lock_guard const guard(limiter_->mutex_);
    limiter_->bucket_.give_back(now(), promise_);
    promise_.count = 0;
  }
}

}  // namespace hamgam::inline HAMGAM_ABI
