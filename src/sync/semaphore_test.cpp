// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/semaphore.h"

#include <gtest/gtest.h>
#include <hamgam/panic.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <random>
#include <stop_token>
#include <string>
#include <vector>

#include "actors.h"
#include "hamgam/mutex.h"

namespace {

using namespace std::chrono_literals;
using hamgam::Semaphore;
using hamgam_test::Actors;
using hamgam_test::Kind;
using hamgam_test::parked_on;
using hamgam_test::until_parked;

template <class F>
std::string panic_of(F f) {
  try {
    f();
  } catch (const hamgam::Panic& panic) {
    return panic.what();
  }
  return "none";
}

static_assert(sizeof(Semaphore) == 16);
static_assert(!std::is_copy_constructible_v<Semaphore>);
constinit Semaphore g_static(3);

class SemaphoreOf : public testing::TestWithParam<Kind> {};
INSTANTIATE_TEST_SUITE_P(Kinds, SemaphoreOf, hamgam_test::all_kinds(), hamgam_test::kind_name);

TEST(Semaphore, Smoke) {
  g_static.acquire(2);
  EXPECT_FALSE(g_static.try_acquire(2));
  EXPECT_TRUE(g_static.try_acquire());
  g_static.release(3);
  EXPECT_TRUE(g_static.try_acquire(3));
  g_static.release(3);
}

// SE2
TEST(Semaphore, ReleasedMoreThanHeld) {
  Semaphore semaphore(1);
  const std::string text = "semaphore: released more than held";
  EXPECT_EQ(panic_of([&] { semaphore.release(1); }), text);
  semaphore.acquire();
  EXPECT_EQ(panic_of([&] { semaphore.release(2); }), text);
  semaphore.release();
  EXPECT_TRUE(semaphore.try_acquire());
  EXPECT_EQ(panic_of([&] { semaphore.release(std::numeric_limits<std::int64_t>::max()); }), text);
}

TEST(Semaphore, NegativeNumbers) {
  EXPECT_EQ(panic_of([] { const Semaphore bad(-1); }), "semaphore: negative size");
  Semaphore semaphore(1);
  EXPECT_EQ(panic_of([&] { semaphore.acquire(-1); }), "semaphore: negative count");
  EXPECT_EQ(panic_of([&] { (void)semaphore.try_acquire(-1); }), "semaphore: negative count");
  EXPECT_EQ(panic_of([&] { semaphore.release(-1); }), "semaphore: negative count");
  EXPECT_TRUE(semaphore.try_acquire());
}

TEST(Semaphore, AllNumbersOfUnits) {
  const std::int64_t most = std::numeric_limits<std::int64_t>::max();
  Semaphore semaphore(most);
  semaphore.acquire(most);
  EXPECT_FALSE(semaphore.try_acquire());
  EXPECT_TRUE(semaphore.try_acquire(0));
  semaphore.release(most);
  EXPECT_TRUE(semaphore.try_acquire(most));
  Semaphore none(0);
  EXPECT_FALSE(none.try_acquire());
  EXPECT_FALSE(none.try_acquire_for(1ms));
}

// SE3
TEST(Semaphore, TryAcquireTable) {
  Semaphore semaphore(2);
  std::vector<bool> tries;
  semaphore.acquire();
  tries.push_back(semaphore.try_acquire());
  tries.push_back(semaphore.try_acquire());
  semaphore.release(2);
  tries.push_back(semaphore.try_acquire());
  semaphore.acquire();
  tries.push_back(semaphore.try_acquire());
  EXPECT_EQ(tries, (std::vector<bool>{true, false, true, false}));
}

// SE4
TEST(Semaphore, AcquireTable) {
  Semaphore semaphore(2);
  std::vector<bool> tries;
  semaphore.acquire();
  tries.push_back(semaphore.try_acquire_for(1ms));
  tries.push_back(semaphore.try_acquire_for(1ms));
  semaphore.release(2);
  tries.push_back(semaphore.try_acquire_until(std::chrono::system_clock::now() + 1ms));
  semaphore.acquire();
  tries.push_back(semaphore.try_acquire_until(std::chrono::steady_clock::now() + 1ms));
  EXPECT_EQ(tries, (std::vector<bool>{true, false, true, false}));
}

// SE1
TEST_P(SemaphoreOf, Hammer) {
  constexpr int kActors = 8;
  constexpr int kLoops = 2000;
  Semaphore semaphore(kActors);
  std::atomic<std::int64_t> held{0};
  Actors actors(GetParam());
  for (int i = 1; i <= kActors; ++i) {
    actors.start([&, i] {
      for (int j = 0; j < kLoops / i; ++j) {
        semaphore.acquire(i);
        ASSERT_LE(held.fetch_add(i) + i, kActors);
        if (j % 16 == 0) {
          hamgam::yield();
        }
        held.fetch_sub(i);
        semaphore.release(i);
      }
    });
  }
  actors.join();
  EXPECT_TRUE(semaphore.try_acquire(kActors));
}

// SE5
TEST_P(SemaphoreOf, TooBigARequestHoldsNobodyBack) {
  Semaphore semaphore(2);
  std::stop_source stop;
  Actors actors(GetParam());
  std::atomic<bool> began{false};
  actors.start([&] {
    began = true;
    EXPECT_FALSE(semaphore.acquire(stop.get_token(), 3));
  });
  hamgam_test::until([&] { return began.load(); });
  for (int i = 0; i < 100; ++i) {
    semaphore.acquire(2);
    semaphore.release(2);
    hamgam::yield();
  }
  stop.request_stop();
}

// SE6
TEST_P(SemaphoreOf, BigRequestIsNotStarved) {
  constexpr int kSize = 8;
  Semaphore semaphore(kSize);
  std::atomic<bool> done{false};
  Actors actors(GetParam());
  for (int i = 0; i < kSize; ++i) {
    actors.start([&] {
      while (!done) {
        semaphore.acquire();
        hamgam::yield();
        semaphore.release();
      }
    });
  }
  for (int i = 0; i < 20; ++i) {
    semaphore.acquire(kSize);
    semaphore.release(kSize);
  }
  done = true;
}

TEST_P(SemaphoreOf, FirstComeFirstServed) {
  Semaphore semaphore(4);
  semaphore.acquire(4);
  hamgam::Mutex mutex;
  std::vector<int> order;
  Actors actors(GetParam());
  const std::array<int, 5> wants{1, 4, 2, 3, 1};
  for (int i = 0; i < 5; ++i) {
    actors.start([&, i] {
      semaphore.acquire(wants[static_cast<std::size_t>(i)]);
      mutex.lock();
      order.push_back(i);
      mutex.unlock();
      semaphore.release(wants[static_cast<std::size_t>(i)]);
    });
    until_parked(&semaphore, i + 1);
    EXPECT_FALSE(semaphore.try_acquire(0));  // it would overtake
  }
  semaphore.release(1);  // enough for the first only, whose unit alone does not suffice for the second
  until_parked(&semaphore, 4);
  semaphore.release(3);
  actors.join();
  ASSERT_EQ(order.size(), 5U);
  EXPECT_EQ(order[0], 0);
  EXPECT_EQ(order[1], 1);
  EXPECT_TRUE(semaphore.try_acquire(4));
}

// SE7
TEST_P(SemaphoreOf, CancelledHeadLetsTheNextGo) {
  Semaphore semaphore(2);
  semaphore.acquire(1);
  std::stop_source stop;
  Actors actors(GetParam());
  actors.start([&] { EXPECT_FALSE(semaphore.acquire(stop.get_token(), 2)); });
  until_parked(&semaphore, 1);
  actors.start([&] { semaphore.acquire(1); });
  until_parked(&semaphore, 2);
  stop.request_stop();
  actors.join();
  semaphore.release(2);
  EXPECT_TRUE(semaphore.try_acquire(2));
}

// SE8, with our rule: free units are taken even when stop was already requested.
TEST_P(SemaphoreOf, UnitsAreConservedWhenWaitersGiveUp) {
  constexpr int kActors = 6;
  Semaphore semaphore(3);
  Actors actors(GetParam());
  for (int i = 0; i < kActors; ++i) {
    actors.start([&, i] {
      std::minstd_rand random(static_cast<unsigned>(i + 1));
      for (int j = 0; j < 300; ++j) {
        const auto n = static_cast<std::int64_t>(random() % 4);
        if (semaphore.try_acquire_for(std::chrono::microseconds(random() % 100), n)) {
          hamgam::yield();
          semaphore.release(n);
        }
      }
    });
  }
  actors.join();
  EXPECT_EQ(parked_on(&semaphore), 0);
  EXPECT_TRUE(semaphore.try_acquire(3));
  EXPECT_FALSE(semaphore.try_acquire(1));
}

TEST_P(SemaphoreOf, Stop) {
  Semaphore semaphore(1);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_TRUE(semaphore.acquire(stop.get_token()));
  EXPECT_FALSE(semaphore.acquire(stop.get_token()));
  Actors actors(GetParam());
  std::stop_source other;
  actors.start([&] { EXPECT_FALSE(semaphore.acquire(other.get_token())); });
  until_parked(&semaphore, 1);
  other.request_stop();
}

TEST_P(SemaphoreOf, DestroyedAfterTheLastRelease) {
  for (int i = 0; i < 500; ++i) {
    auto semaphore = std::make_unique<Semaphore>(1);
    semaphore->acquire();
    Actors actors(GetParam());
    actors.start([raw = semaphore.get()] { raw->release(); });
    semaphore->acquire();
    semaphore.reset();
  }
}

}  // namespace
