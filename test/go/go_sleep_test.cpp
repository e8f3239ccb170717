// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

#include "base/random.h"
#include "hamgam/hamgam.h"
#include "support/child.h"
#include "support/crew.h"
#include "support/scale.h"
#include "support/seed.h"

// sleep, and the deadlines under it.

namespace hamgam {
namespace {

using namespace std::chrono_literals;
using detail::Random;
using test::Crew;
using test::Who;

template <class D>
concept CanSleep = requires(D d) { hamgam::sleep(d); };
static_assert(CanSleep<std::chrono::hours> && CanSleep<std::chrono::duration<double>>);
static_assert(!CanSleep<int> && !CanSleep<unsigned>);

static_assert(std::chrono::is_clock_v<Clock> && Clock::is_steady);

class SleepTest : public testing::TestWithParam<Who> {};

INSTANTIATE_TEST_SUITE_P(, SleepTest, test::everybody(), test::name_of);

// TI1: never early.
TEST_P(SleepTest, smoke) {
  Crew crew(GetParam());
  for (int i = 0; i < 8; ++i) {
    crew.start([i] {
      auto const wait = i * 1ms;
      auto const start = std::chrono::steady_clock::now();
      sleep(wait);
      EXPECT_GE(std::chrono::steady_clock::now() - start, wait);
      sleep_until(std::chrono::steady_clock::now() + 500us);
      auto const wall = std::chrono::system_clock::now() + 1ms;
      sleep_until(wall);
      EXPECT_GE(std::chrono::system_clock::now(), wall);
      auto const until = Clock::now() + 300us;
      sleep_until(until);
      EXPECT_GE(Clock::now(), until);
    });
  }
}

TEST_P(SleepTest, no_time_at_all) {
  Crew crew(GetParam());
  for (int i = 0; i < 2; ++i) {
    crew.start([] {
      sleep(0ns);
      sleep(-1h);
      sleep(std::chrono::hours::min());
      sleep_until(std::chrono::steady_clock::time_point::min());
      sleep_until(std::chrono::system_clock::time_point{});
      std::stop_source source;
      source.request_stop();
      EXPECT_TRUE(sleep(0ns, source.get_token()));
    });
  }
}

TEST_P(SleepTest, fractions_are_rounded_up) {
  Crew crew(GetParam());
  for (int i = 0; i < 2; ++i) {
    crew.start([] {
      auto const start = std::chrono::steady_clock::now();
      sleep(std::chrono::duration<double>(0.0015));
      EXPECT_GE(std::chrono::steady_clock::now() - start, 1500us);
      sleep(std::chrono::duration<double, std::pico>(1));
    });
  }
}

TEST_P(SleepTest, stop) {
  std::stop_source source;
  std::atomic<int> began{0};
  Crew crew(GetParam());
  for (int i = 0; i < 4; ++i) {
    crew.start([&, i] {
      ++began;
      // The longest there is, which saturates, and one that does not.
      EXPECT_FALSE(i < 2 ? sleep(std::chrono::hours::max(), source.get_token())
                         : sleep(1h, source.get_token()));
    });
  }
  while (began.load() < 4) {
    std::this_thread::yield();
  }
  source.request_stop();
  crew.join();
  EXPECT_FALSE(sleep(1h, source.get_token()));
  EXPECT_TRUE(sleep(1us, std::stop_token()));
}

// TI2: in the order of their deadlines. On a machine that is late for several at once these may run
// in any order, so it is tried with wider and wider gaps, as Go's test does.
TEST(Sleep, TI2_order) {
  test::Procs const limit(1);
  hamgam::Mutex mutex;
  std::vector<int> order;
  auto gap = 1ms;
  do {
    gap *= 2;
    order.clear();
    (void)run([&] {
      WaitGroup group;
      auto const start = Clock::now() + gap;
      for (int slot : {5, 3, 6, 6, 6, 1, 1, 2, 7, 9, 4, 8, 0}) {
        group.go([&, slot] {
          sleep_until(start + slot * gap);
          std::scoped_lock const lock(mutex);
          order.push_back(slot);
        });
      }
      group.wait();
    });
    ASSERT_EQ(order.size(), 13U);
  } while (!std::is_sorted(order.begin(), order.end()) && gap < 200ms);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST_P(SleepTest, stop_races_with_the_end) {
  int const rounds = test::scaled(2000);
  int const limit = test::scaled(100);
  for (int round = 0; round < rounds; ++round) {
    std::stop_source source;
    Crew crew(GetParam());
    crew.start([&] {
      auto const start = std::chrono::steady_clock::now();
      auto const wait = std::chrono::microseconds(round % limit);
      if (sleep(wait, source.get_token())) {
        EXPECT_GE(std::chrono::steady_clock::now() - start, wait);
      } else {
        EXPECT_TRUE(source.stop_requested());
      }
    });
    crew.start([&] { source.request_stop(); });
  }
}

// Everybody sleeps, now and then all at once: whoever keeps time is always told of an earlier
// timer, and no timer is lost when another becomes the timekeeper. (A lost one shows as a hang.)
TEST(Sleep, stress_timekeepers) {
  std::uint64_t const seed = test::seed();
  for (int procs : {1, 2, 4}) {
    test::Procs const limit(procs);
    int const rounds = test::scaled(600);
    WaitGroup group;
    for (int i = 0; i < 8; ++i) {
      group.go([&, i] {
        Random random(seed + static_cast<std::uint64_t>(i));
        for (int round = 0; round < rounds; ++round) {
          switch (random.below(4)) {
            case 0:
              yield();
              break;
            case 1: {
              auto const end =
                  std::chrono::steady_clock::now() + std::chrono::microseconds(random.below(100));
              while (std::chrono::steady_clock::now() < end) {
              }
              break;
            }
            default:
              sleep(std::chrono::microseconds(random.below(300)));
          }
        }
      });
    }
    // Threads that come from outside, and find all workers asleep.
    std::thread outside([&] {
      Random random(seed + 100);
      for (int round = 0; round < rounds; ++round) {
        WaitGroup one;
        one.go([wait = random.below(200)] { sleep(std::chrono::microseconds(wait)); });
        if (!one.wait_for(std::chrono::microseconds(random.below(200)))) {
          one.wait();
        }
      }
    });
    outside.join();
    group.wait();
  }
}

// Found by reading: a worker that became the timekeeper while it slept, with no timer there is, was
// not told of a later one, because the former timekeeper's moment still stood there. A sleeper that
// is not the first to sleep, then one timer after the other, each later than the last.
TEST(Sleep, new_timekeeper_is_told) {
  int const rounds = test::scaled(300);
  for (int round = 0; round < rounds; ++round) {
    (void)run([&] {
      std::stop_source source;
      WaitGroup group;
      for (int i = 0; i < 3; ++i) {
        group.go(
            [&, i] { (void)sleep(std::chrono::microseconds(100 + 50 * i), source.get_token()); });
      }
      sleep(60us);
      source.request_stop();
      group.wait();
      sleep(300us);
    });
  }
}

}  // namespace
}  // namespace hamgam
