// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/detail/token_bucket.h"

#include <algorithm>
#include <cmath>

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr double kSecond = 1e9;
constexpr double kEver = 9.2e18;  // no more nanoseconds than this are counted

double flows_in(double limit, std::int64_t nanos) noexcept {
  return limit > 0 ? static_cast<double>(nanos) * (limit / kSecond) : 0;
}

// Rounded up: never early.
std::int64_t time_for(double limit, double tokens) noexcept {
  if (!(limit > 0)) {
    return INT64_MAX;
  }
  double const nanos = std::ceil(tokens / limit * kSecond);
  return nanos < kEver ? static_cast<std::int64_t>(nanos) : INT64_MAX;
}

std::int64_t later(std::int64_t time, std::int64_t nanos) noexcept {
  return nanos > INT64_MAX - time ? INT64_MAX : time + nanos;
}

}  // namespace

TokenBucket::TokenBucket(double limit, int burst) noexcept
    : limit_(limit > 0 ? limit : 0), burst_(std::max(burst, 0)), tokens_(burst_) {}

bool TokenBucket::unlimited() const noexcept { return std::isinf(limit_); }

double TokenBucket::tokens(std::int64_t now) const noexcept {
  double const more = now > last_ ? flows_in(limit_, now - last_) : 0;
  return std::min(tokens_ + more, static_cast<double>(burst_));
}

void TokenBucket::advance(std::int64_t now) noexcept {
  tokens_ = unlimited() ? burst_ : tokens(now);
  last_ = std::max(last_, now);
}

std::optional<TokenPromise> TokenBucket::take(std::int64_t now, int n,
                                              std::int64_t until) noexcept {
  if (unlimited()) {
    return TokenPromise{n, now, limit_};
  }
  if (n > burst_) {
    return std::nullopt;
  }
  advance(now);
  double const left = tokens_ - n;
  std::int64_t const at = left < 0 ? later(last_, time_for(limit_, -left)) : now;
  if (at > until) {
    return std::nullopt;
  }
  tokens_ = left;
  last_event_ = at;
  return TokenPromise{n, at, limit_};
}

void TokenBucket::give_back(std::int64_t now, const TokenPromise& promise) noexcept {
  if (unlimited() || std::isinf(promise.limit) || promise.count == 0 || promise.at < now) {
    return;
  }
  // What was promised since then counts on these being gone. (After set_limit a later one may have
  // got an earlier time: there is nothing between.)
  std::int64_t const between = std::max<std::int64_t>(last_event_ - promise.at, 0);
  double const restored = promise.count - flows_in(promise.limit, between);
  if (!(restored > 0)) {
    return;
  }
  advance(now);
  tokens_ = std::min(tokens_ + restored, static_cast<double>(burst_));
  if (promise.at == last_event_ && promise.limit > 0) {
    std::int64_t const former = promise.at - time_for(promise.limit, promise.count);
    if (former >= now) {
      last_event_ = former;
    }
  }
}

void TokenBucket::set_limit(std::int64_t now, double limit) noexcept {
  advance(now);
  limit_ = limit > 0 ? limit : 0;
}

void TokenBucket::set_burst(std::int64_t now, int burst) noexcept {
  advance(now);
  burst_ = std::max(burst, 0);
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
