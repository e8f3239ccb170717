// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// The arithmetic of RateLimiter, all of it at given times: `tokens` that flow in at `limit` a
// second up to `burst`, and may be taken in advance. As in Go's golang.org/x/time/rate.

#include <cstdint>
#include <optional>

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// n tokens that were promised for a time.
struct TokenPromise {
  int count = 0;
  std::int64_t at = 0;
  double limit = 0;  // when it was made
};

// Thread safety: the caller's.
class TokenBucket {
 public:
  // Full. A limit that is not positive, or not a number: no tokens but these.
  HAMGAM_API TokenBucket(double limit, int burst) noexcept;

  // n tokens, if they are there at the latest at `until`; INT64_MAX: whenever it is. They are the
  // caller's from `at` on.
  HAMGAM_API std::optional<TokenPromise> take(std::int64_t now, int n, std::int64_t until) noexcept;
  // They are not needed. Those that were promised to later ones in the belief that these are gone
  // stay lost.
  HAMGAM_API void give_back(std::int64_t now, const TokenPromise& promise) noexcept;

  HAMGAM_API void set_limit(std::int64_t now, double limit) noexcept;
  HAMGAM_API void set_burst(std::int64_t now, int burst) noexcept;

  [[nodiscard]] double limit() const noexcept { return limit_; }
  [[nodiscard]] int burst() const noexcept { return burst_; }
  // Less than 0: what is promised for later.
  [[nodiscard]] HAMGAM_API double tokens(std::int64_t now) const noexcept;
  [[nodiscard]] HAMGAM_API bool unlimited() const noexcept;

 private:
  // Times may come out of order, as they were asked for before the caller got its lock.
  void advance(std::int64_t now) noexcept;

  double limit_;
  int burst_;
  double tokens_;
  std::int64_t last_ = 0;        // when tokens_ was true; of no matter while it is full
  std::int64_t last_event_ = 0;  // the time that was promised last
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
