// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/rate.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <stop_token>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "hamgam/go.h"
#include "hamgam/panic.h"
#include "hamgam/time.h"
#include "support/crew.h"
#include "support/scale.h"
#include "support/seed.h"

namespace {

using namespace std::chrono_literals;
using hamgam::Panic;
using hamgam::RateLimiter;
using hamgam::Reservation;
using hamgam::detail::TokenBucket;
using hamgam::test::at_once;
using hamgam::test::Who;

constexpr double kInfinite = std::numeric_limits<double>::infinity();
constexpr std::int64_t kMs = 1'000'000;
constexpr std::int64_t kEver = INT64_MAX;

// ---- The arithmetic, at given times

bool allows(TokenBucket& bucket, std::int64_t now, int n = 1) {
  return bucket.take(now, n, now).has_value();
}

TEST(TokenBucket, BurstThenRate) {
  TokenBucket bucket(10, 3);  // one every 100 ms
  std::int64_t const t = 1000 * kMs;
  EXPECT_TRUE(allows(bucket, t));
  EXPECT_TRUE(allows(bucket, t, 2));
  EXPECT_FALSE(allows(bucket, t));
  EXPECT_FALSE(allows(bucket, t + 99 * kMs));
  EXPECT_TRUE(allows(bucket, t + 100 * kMs));
  EXPECT_FALSE(allows(bucket, t + 100 * kMs));
  // No more than the burst is saved up.
  EXPECT_FALSE(allows(bucket, t + 1'000'000 * kMs, 4));
  EXPECT_TRUE(allows(bucket, t + 1'000'000 * kMs, 3));
  EXPECT_FALSE(allows(bucket, t + 1'000'000 * kMs));
}

TEST(TokenBucket, PromisesAreInOrder) {
  TokenBucket bucket(10, 2);
  EXPECT_EQ(bucket.take(0, 2, kEver)->at, 0);
  EXPECT_EQ(bucket.take(0, 1, kEver)->at, 100 * kMs);
  EXPECT_EQ(bucket.take(0, 2, kEver)->at, 300 * kMs);
  EXPECT_DOUBLE_EQ(bucket.tokens(0), -3);
  EXPECT_FALSE(bucket.take(0, 1, 399 * kMs).has_value());
  EXPECT_EQ(bucket.take(0, 1, 400 * kMs)->at, 400 * kMs);
  EXPECT_FALSE(bucket.take(0, 3, kEver).has_value());  // more than can ever be there
  EXPECT_EQ(bucket.take(1000 * kMs, 1, kEver)->at, 1000 * kMs);
}

TEST(TokenBucket, GivingBack) {
  TokenBucket bucket(10, 2);
  (void)bucket.take(0, 2, kEver);
  auto const first = bucket.take(0, 2, kEver);  // at 200 ms
  EXPECT_EQ(first->at, 200 * kMs);
  bucket.give_back(0, *first);
  EXPECT_DOUBLE_EQ(bucket.tokens(0), 0);
  // What was promised to a later one in between stays its own; the rest comes back.
  auto const second = bucket.take(0, 2, kEver);
  auto const third = bucket.take(0, 1, kEver);
  EXPECT_EQ(second->at, 200 * kMs);
  EXPECT_EQ(third->at, 300 * kMs);
  bucket.give_back(0, *second);
  EXPECT_DOUBLE_EQ(bucket.tokens(0), -2);
  bucket.give_back(0, *third);
  EXPECT_DOUBLE_EQ(bucket.tokens(0), -1);
  // Too late: it could have happened already.
  auto const late = bucket.take(0, 1, kEver);
  bucket.give_back(late->at + 1, *late);
  EXPECT_DOUBLE_EQ(bucket.tokens(late->at), 0);
}

// The fault: after the rate was raised a later promise is for an earlier time; what was given back
// then was more than had been promised.
TEST(TokenBucket, GivingBackAfterTheRateWasRaised) {
  TokenBucket bucket(1, 10);
  (void)bucket.take(0, 10, kEver);
  auto const slow = bucket.take(0, 10, kEver);
  EXPECT_EQ(slow->at, 10'000 * kMs);
  bucket.set_limit(0, 1000);
  auto const fast = bucket.take(0, 1, kEver);
  EXPECT_EQ(fast->at, 11 * kMs);
  bucket.give_back(0, *slow);
  EXPECT_DOUBLE_EQ(bucket.tokens(0), -1);
  bucket.give_back(0, *fast);
  EXPECT_DOUBLE_EQ(bucket.tokens(0), 0);
}

TEST(TokenBucket, OddRates) {
  TokenBucket none(0, 2);
  EXPECT_TRUE(allows(none, 0, 2));
  EXPECT_FALSE(allows(none, 1'000'000'000 * kMs));
  EXPECT_EQ(none.take(0, 1, kEver)->at, kEver);
  for (double const odd : {-1.0, std::nan("")}) {
    TokenBucket bucket(odd, 1);
    EXPECT_TRUE(allows(bucket, 0));
    EXPECT_FALSE(allows(bucket, kEver - 1));
    EXPECT_EQ(bucket.limit(), 0);
  }
  TokenBucket infinite(kInfinite, 0);
  EXPECT_TRUE(allows(infinite, 0, 1'000'000));
  EXPECT_TRUE(infinite.unlimited());
  TokenBucket closed(1e9, 0);
  EXPECT_FALSE(allows(closed, kEver - 1));
  EXPECT_TRUE(allows(closed, 0, 0));
  TokenBucket slow(1e-12, 1);
  EXPECT_TRUE(allows(slow, 0));
  EXPECT_EQ(slow.take(0, 1, kEver)->at, kEver);
  TokenBucket fast(1e15, 1);
  EXPECT_TRUE(allows(fast, 0));
  EXPECT_LE(fast.take(0, 1, kEver)->at, 1);
}

TEST(TokenBucket, ChangingLimits) {
  TokenBucket bucket(10, 10);
  EXPECT_TRUE(allows(bucket, 0, 10));
  bucket.set_limit(100 * kMs, 100);  // one token so far
  EXPECT_FALSE(allows(bucket, 109 * kMs, 2));
  EXPECT_TRUE(allows(bucket, 110 * kMs, 2));
  bucket.set_burst(110 * kMs, 1);
  EXPECT_FALSE(allows(bucket, 1000 * kMs, 2));
  EXPECT_TRUE(allows(bucket, 1000 * kMs, 1));
  bucket.set_burst(1000 * kMs, 5);
  EXPECT_FALSE(allows(bucket, 1000 * kMs));
  EXPECT_TRUE(allows(bucket, 1050 * kMs, 5));
  bucket.set_limit(1050 * kMs, kInfinite);
  EXPECT_TRUE(allows(bucket, 1050 * kMs, 50));
  bucket.set_limit(1050 * kMs, 1);
  EXPECT_TRUE(allows(bucket, 1050 * kMs, 5));
  EXPECT_FALSE(allows(bucket, 1050 * kMs));
}

TEST(TokenBucket, NegativeOrNoNumberIsNone) {
  TokenBucket bucket(std::nan(""), -5);
  EXPECT_EQ(bucket.burst(), 0);
  EXPECT_EQ(bucket.tokens(0), 0);
  EXPECT_FALSE(bucket.take(0, 1, kEver));
  bucket.set_burst(0, std::numeric_limits<int>::min());
  bucket.set_limit(0, -1);
  EXPECT_EQ(bucket.tokens(1000 * kMs), 0);
}

// Never more than burst + rate * time in any span of time.
TEST(TokenBucket, NeverTooMuch) {
  std::mt19937_64 random(hamgam::test::seed());
  double const rate = 1 + static_cast<double>(random() % 1000);
  int const burst = 1 + static_cast<int>(random() % 20);
  TokenBucket bucket(rate, burst);
  std::int64_t now = 0;
  double granted = 0;
  for (int i = 0; i < 10000; ++i) {
    now += static_cast<std::int64_t>(random() % (20 * kMs));
    int const n = static_cast<int>(random() % 3);
    granted += allows(bucket, now, n) ? n : 0;
    EXPECT_LE(granted, burst + rate * static_cast<double>(now) / 1e9 + 1e-3);
  }
}

// ---- The limiter

class RateLimiterTest : public testing::TestWithParam<Who> {};

TEST_P(RateLimiterTest, AllowAndReserve) {
  at_once(GetParam(), 1, [](int) {
    RateLimiter limiter(1e-3, 2);  // nothing comes in while the test runs
    EXPECT_TRUE(limiter.allow());
    EXPECT_FALSE(limiter.allow(2));
    Reservation first = limiter.reserve();
    EXPECT_TRUE(first.ok());
    EXPECT_EQ(first.delay(), 0ns);
    Reservation second = limiter.reserve();
    EXPECT_TRUE(second.ok());
    EXPECT_GT(second.delay(), 900s);
    EXPECT_LE(second.delay(), 1000s);
    EXPECT_LT(limiter.tokens(), 0);
    second.cancel();
    second.cancel();
    EXPECT_NEAR(limiter.tokens(), 0, 0.1);
    EXPECT_FALSE(limiter.reserve(3).ok());
    EXPECT_EQ(limiter.reserve(3).delay(), std::chrono::nanoseconds::max());
    Reservation none;
    EXPECT_FALSE(none.ok());
    EXPECT_EQ(none.delay(), std::chrono::nanoseconds::max());
    none.cancel();
    limiter.set_burst(5);
    limiter.set_limit(kInfinite);
    EXPECT_TRUE(limiter.allow(100));
    EXPECT_EQ(limiter.burst(), 5);
    EXPECT_EQ(limiter.limit(), kInfinite);
    EXPECT_EQ(limiter.reserve(100).delay(), 0ns);
  });
}

// The fault: a copy could be cancelled, too.
static_assert(!std::is_copy_constructible_v<Reservation> &&
              !std::is_copy_assignable_v<Reservation> &&
              std::is_nothrow_move_constructible_v<Reservation> &&
              std::is_nothrow_move_assignable_v<Reservation>);

TEST_P(RateLimiterTest, CancelledOnceWhoeverHasIt) {
  at_once(GetParam(), 1, [](int) {
    RateLimiter limiter(1e-3, 5);
    EXPECT_TRUE(limiter.allow(5));
    Reservation first = limiter.reserve(2);
    Reservation kept = limiter.reserve(2);
    Reservation second(std::move(first));
    EXPECT_FALSE(first.ok());  // NOLINT(bugprone-use-after-move)
    EXPECT_TRUE(second.ok());
    first.cancel();
    EXPECT_LT(limiter.tokens(), -3.9);
    first = std::move(kept);
    EXPECT_FALSE(kept.ok());  // NOLINT(bugprone-use-after-move)
    for (int i = 0; i < 2; ++i) {
      first.cancel();
      kept.cancel();
      EXPECT_NEAR(limiter.tokens(), -2, 0.1);
    }
    for (int i = 0; i < 2; ++i) {
      second.cancel();
      EXPECT_NEAR(limiter.tokens(), 0, 0.1);
    }
  });
}

TEST_P(RateLimiterTest, WaitIsNeverEarly) {
  auto const begin = std::chrono::steady_clock::now();
  RateLimiter limiter(1000, 1);
  constexpr int kEach = 5;
  at_once(GetParam(), 4, [&limiter](int i) {
    for (int k = 0; k < kEach; ++k) {
      if (i == 0) {
        EXPECT_TRUE(limiter.wait_for(1h));
      } else if (i == 1) {
        EXPECT_TRUE(limiter.wait(std::stop_token()));
      } else {
        limiter.wait();
      }
    }
  });
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(4 * kEach - 1));
}

// What can't be had in time is refused at once, and nothing is taken.
TEST_P(RateLimiterTest, TimeoutAndStop) {
  at_once(GetParam(), 1, [](int) {
    RateLimiter limiter(1e-3, 1);
    std::stop_source stop;
    stop.request_stop();
    EXPECT_TRUE(limiter.wait(stop.get_token()));  // need not wait
    EXPECT_FALSE(limiter.wait(stop.get_token()));
    EXPECT_FALSE(limiter.wait_for(0s));
    EXPECT_FALSE(limiter.wait_for(-1h));
    EXPECT_FALSE(limiter.wait_for(10s));
    EXPECT_FALSE(limiter.wait_until(hamgam::Clock::now() + 10s));
    EXPECT_FALSE(limiter.wait_until(std::chrono::system_clock::now() + 10s));
    EXPECT_FALSE(limiter.wait_until(std::chrono::system_clock::time_point::min()));
    EXPECT_GT(limiter.tokens(), -0.1);
    limiter.set_limit(1e9);
    EXPECT_TRUE(limiter.wait_for(10s));
    EXPECT_TRUE(limiter.wait_until(std::chrono::system_clock::now() + 10s));
    EXPECT_TRUE(limiter.wait_until(hamgam::Clock::time_point::max()));
  });
}

// Those who are stopped while they wait give their tokens back.
TEST_P(RateLimiterTest, StoppedWhileWaiting) {
  RateLimiter limiter(1e-3, 5);
  EXPECT_TRUE(limiter.allow(5));
  std::stop_source stop;
  hamgam::test::Crew crew(GetParam());
  for (int i = 0; i < 6; ++i) {
    crew.start([&] { EXPECT_FALSE(limiter.wait(stop.get_token(), 1)); });
  }
  while (limiter.tokens() > -5.5) {
    hamgam::yield();
  }
  stop.request_stop();
  crew.join();
  // In whatever order they gave up, at least the last one's is back, and not more than all.
  EXPECT_GE(limiter.tokens(), -5.1);
  EXPECT_LE(limiter.tokens(), 0.1);
}

TEST_P(RateLimiterTest, Misuse) {
  at_once(GetParam(), 1, [](int) {
    RateLimiter limiter(1, 2);
    auto const panics = [](auto use, const std::string& text) {
      try {
        use();
        ADD_FAILURE() << "it did not throw";
      } catch (const Panic& e) {
        EXPECT_EQ(e.what(), text);
      }
    };
    panics([&] { limiter.wait(3); }, "rate: Wait(n=3) exceeds limiter's burst 2");
    panics([&] { (void)limiter.wait_for(1h, 3); }, "rate: Wait(n=3) exceeds limiter's burst 2");
    panics([&] { (void)limiter.wait(std::stop_token(), 3); },
           "rate: Wait(n=3) exceeds limiter's burst 2");
    panics([&] { (void)limiter.allow(-1); }, "rate: negative count");
    panics([&] { (void)limiter.reserve(-1); }, "rate: negative count");
    panics([&] { limiter.wait(-1); }, "rate: negative count");
    EXPECT_FALSE(limiter.allow(3));
    EXPECT_TRUE(limiter.allow(2));
  });
}

TEST_P(RateLimiterTest, NeverTooMany) {
  RateLimiter limiter(20000, 10);
  auto const begin = std::chrono::steady_clock::now();
  std::atomic<int> granted{0};
  at_once(GetParam(), 4, [&](int i) {
    for (int k = 0; k < hamgam::test::scaled(400); ++k) {
      if (i % 2 == 0) {
        limiter.wait();
        ++granted;
      } else if (limiter.allow()) {
        ++granted;
      } else {
        hamgam::yield();
      }
    }
  });
  std::chrono::duration<double> const time = std::chrono::steady_clock::now() - begin;
  EXPECT_LE(granted, 10 + 20000 * time.count() + 1e-3);
}

INSTANTIATE_TEST_SUITE_P(By, RateLimiterTest, hamgam::test::everybody(), hamgam::test::name_of);

}  // namespace
