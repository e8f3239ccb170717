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
#include <mutex>
#include <random>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <vector>

#include "hamgam/mutex.h"
#include "support/asleep.h"
#include "support/crew.h"

namespace {

using namespace std::chrono_literals;
using hamgam::Semaphore;
using hamgam::SemaphoreGuard;
using hamgam::test::await_asleep;
using hamgam::test::count_asleep;
using hamgam::test::Crew;
using hamgam::test::Who;

template <class F>
std::string panic_of(F f) {
  try {
    f();
  } catch (const hamgam::Panic& panic) {
    return panic.what();
  }
  return "none";
}

#if !HAMGAM_TSAN_USER
static_assert(sizeof(Semaphore) == 16);
#endif
static_assert(!std::is_copy_constructible_v<Semaphore>);
constinit Semaphore g_static(3);

class SemaphoreOf : public testing::TestWithParam<Who> {};
INSTANTIATE_TEST_SUITE_P(Kinds, SemaphoreOf, hamgam::test::everybody(), hamgam::test::name_of);

TEST(Semaphore, smoke) {
  g_static.acquire(2);
  EXPECT_FALSE(g_static.try_acquire(2));
  EXPECT_TRUE(g_static.try_acquire());
  g_static.release(3);
  EXPECT_TRUE(g_static.try_acquire(3));
  g_static.release(3);
}

TEST(Semaphore, SE2_released_more_than_held) {
  Semaphore semaphore(1);
  const std::string text = "semaphore: released more than held";
  EXPECT_EQ(panic_of([&] { semaphore.release(1); }), text);
  semaphore.acquire();
  EXPECT_EQ(panic_of([&] { semaphore.release(2); }), text);
  semaphore.release();
  EXPECT_TRUE(semaphore.try_acquire());
  EXPECT_EQ(panic_of([&] { semaphore.release(std::numeric_limits<std::int64_t>::max()); }), text);
}

TEST(Semaphore, negative_numbers) {
  EXPECT_EQ(panic_of([] { const Semaphore bad(-1); }), "semaphore: negative size");
  Semaphore semaphore(1);
  EXPECT_EQ(panic_of([&] { semaphore.acquire(-1); }), "semaphore: negative count");
  EXPECT_EQ(panic_of([&] { (void)semaphore.try_acquire(-1); }), "semaphore: negative count");
  EXPECT_EQ(panic_of([&] { semaphore.release(-1); }), "semaphore: negative count");
  EXPECT_TRUE(semaphore.try_acquire());
}

TEST(Semaphore, all_numbers_of_units) {
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

TEST(Semaphore, SE3_try_acquire_table) {
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

TEST(Semaphore, SE4_acquire_table) {
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

TEST_P(SemaphoreOf, SE1_MU5_hammer) {
  constexpr int kCrew = 8;
  constexpr int kLoops = 2000;
  Semaphore semaphore(kCrew);
  std::atomic<std::int64_t> held{0};
  Crew crew(GetParam());
  for (int i = 1; i <= kCrew; ++i) {
    crew.start([&, i] {
      for (int j = 0; j < kLoops / i; ++j) {
        semaphore.acquire(i);
        ASSERT_LE(held.fetch_add(i) + i, kCrew);
        if (j % 16 == 0) {
          hamgam::yield();
        }
        held.fetch_sub(i);
        semaphore.release(i);
      }
    });
  }
  crew.join();
  EXPECT_TRUE(semaphore.try_acquire(kCrew));
}

TEST_P(SemaphoreOf, SE5_too_big_a_request_holds_nobody_back) {
  Semaphore semaphore(2);
  std::stop_source stop;
  std::atomic<bool> began{false};
  Crew crew(GetParam());
  crew.start([&] {
    began = true;
    EXPECT_FALSE(semaphore.acquire(stop.get_token(), 3));
  });
  hamgam::test::until([&] { return began.load(); });
  for (int i = 0; i < 100; ++i) {
    semaphore.acquire(2);
    semaphore.release(2);
    hamgam::yield();
  }
  stop.request_stop();
}

TEST_P(SemaphoreOf, SE6_big_request_is_not_starved) {
  constexpr int kSize = 8;
  Semaphore semaphore(kSize);
  std::atomic<bool> done{false};
  Crew crew(GetParam());
  for (int i = 0; i < kSize; ++i) {
    crew.start([&] {
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

TEST_P(SemaphoreOf, first_come_first_served) {
  Semaphore semaphore(4);
  semaphore.acquire(4);
  hamgam::Mutex mutex;
  std::vector<int> order;
  Crew crew(GetParam());
  const std::array<int, 5> wants{1, 4, 2, 3, 1};
  for (int i = 0; i < 5; ++i) {
    crew.start([&, i] {
      semaphore.acquire(wants[static_cast<std::size_t>(i)]);
      mutex.lock();
      order.push_back(i);
      mutex.unlock();
      semaphore.release(wants[static_cast<std::size_t>(i)]);
    });
    await_asleep(&semaphore, i + 1);
    EXPECT_FALSE(semaphore.try_acquire(0));  // it would overtake
  }
  semaphore.release(
      1);  // enough for the first only, whose unit alone does not suffice for the second
  await_asleep(&semaphore, 4);
  semaphore.release(3);
  crew.join();
  ASSERT_EQ(order.size(), 5U);
  EXPECT_EQ(order[0], 0);
  EXPECT_EQ(order[1], 1);
  EXPECT_TRUE(semaphore.try_acquire(4));
}

TEST_P(SemaphoreOf, SE7_cancelled_head_lets_the_next_go) {
  Semaphore semaphore(2);
  semaphore.acquire(1);
  std::stop_source stop;
  Crew crew(GetParam());
  crew.start([&] { EXPECT_FALSE(semaphore.acquire(stop.get_token(), 2)); });
  await_asleep(&semaphore, 1);
  crew.start([&] { semaphore.acquire(1); });
  await_asleep(&semaphore, 2);
  stop.request_stop();
  crew.join();
  semaphore.release(2);
  EXPECT_TRUE(semaphore.try_acquire(2));
}

// SE8, with our rule: free units are taken even when stop was already requested.
TEST_P(SemaphoreOf, SE8_units_are_conserved_when_waiters_give_up) {
  constexpr int kCrew = 6;
  Semaphore semaphore(3);
  Crew crew(GetParam());
  for (int i = 0; i < kCrew; ++i) {
    crew.start([&, i] {
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
  crew.join();
  EXPECT_EQ(count_asleep(&semaphore), 0);
  EXPECT_TRUE(semaphore.try_acquire(3));
  EXPECT_FALSE(semaphore.try_acquire(1));
}

TEST_P(SemaphoreOf, stop) {
  Semaphore semaphore(1);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_TRUE(semaphore.acquire(stop.get_token()));
  EXPECT_FALSE(semaphore.acquire(stop.get_token()));
  std::stop_source other;
  Crew crew(GetParam());
  crew.start([&] { EXPECT_FALSE(semaphore.acquire(other.get_token())); });
  await_asleep(&semaphore, 1);
  other.request_stop();
}

TEST_P(SemaphoreOf, destroyed_after_the_last_release) {
  for (int i = 0; i < 500; ++i) {
    auto semaphore = std::make_unique<Semaphore>(1);
    semaphore->acquire();
    Crew crew(GetParam());
    crew.start([raw = semaphore.get()] { raw->release(); });
    semaphore->acquire();
    semaphore.reset();
  }
}

TEST_P(SemaphoreOf, guard) {
  Semaphore semaphore(5);
  Crew crew(GetParam());
  {
    SemaphoreGuard one(semaphore);
    SemaphoreGuard two(semaphore, 2);
    EXPECT_EQ(two.count(), 2);
    ASSERT_TRUE(semaphore.try_acquire(2));
    SemaphoreGuard const adopted(semaphore, std::adopt_lock, 2);
    EXPECT_FALSE(semaphore.try_acquire());
    SemaphoreGuard moved = std::move(one);
    EXPECT_FALSE(one);  // NOLINT(bugprone-use-after-move): what is tested
    EXPECT_EQ(one.count(), 0);
    one.release();  // nothing
    EXPECT_FALSE(semaphore.try_acquire());
    one = std::move(two);
    one = SemaphoreGuard();
    EXPECT_TRUE(semaphore.try_acquire(2));
    semaphore.release(2);
    moved.release();
    moved.release();
    EXPECT_TRUE(semaphore.try_acquire(3));
    semaphore.release(3);
    crew.start([&semaphore] { SemaphoreGuard const all(semaphore, 5); });
    await_asleep(&semaphore, 1);
    EXPECT_FALSE(semaphore.try_acquire());  // nothing overtakes it
  }
  crew.join();
  EXPECT_TRUE(semaphore.try_acquire(5));
  semaphore.release(5);
  EXPECT_THROW(static_cast<void>(SemaphoreGuard(semaphore, -1)), hamgam::Panic);
  SemaphoreGuard const nothing;
}

// By exceptions and goexit() too.
TEST_P(SemaphoreOf, guard_while_unwinding) {
  Semaphore semaphore(1);
  for (int i = 0; i < 2; ++i) {
    hamgam::test::at_once(GetParam(), 2, [&semaphore, i](int) {
      try {
        SemaphoreGuard const one(semaphore);
        hamgam::yield();
        if (i == 0 && hamgam::goroutine_id() != 0) {
          hamgam::goexit();
        }
        throw std::runtime_error("out");
      } catch (const std::runtime_error&) {
      }
    });
    EXPECT_TRUE(semaphore.try_acquire());
    semaphore.release();
  }
}

}  // namespace
