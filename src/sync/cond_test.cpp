// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/cond.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <new>
#include <random>
#include <shared_mutex>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include "hamgam/guarded.h"
#include "hamgam/rwmutex.h"
#include "support/asleep.h"
#include "support/crew.h"

namespace {

using namespace std::chrono_literals;
using hamgam::Cond;
using hamgam::Guarded;
using hamgam::Mutex;
using hamgam::RWMutex;
using hamgam::test::await_asleep;
using hamgam::test::count_asleep;
using hamgam::test::Crew;
using hamgam::test::until;
using hamgam::test::Who;

static_assert(sizeof(Cond) == 4);
// CO6: what Go finds at run time does not compile here.
static_assert(!std::is_copy_constructible_v<Cond> && !std::is_move_constructible_v<Cond>);
static_assert(!std::is_copy_assignable_v<Cond> && !std::is_move_assignable_v<Cond>);
constinit Cond g_static;

class CondOf : public testing::TestWithParam<Who> {};
INSTANTIATE_TEST_SUITE_P(Kinds, CondOf, hamgam::test::everybody(), hamgam::test::name_of);

// Somebody who sleeps for the Mutex, which the caller holds: now threads are moved to it.
std::thread contend(Mutex& mutex) {
  std::thread other([&mutex] { const std::lock_guard lock(mutex); });
  await_asleep(&mutex, 1);
  return other;
}

TEST(Cond, notify_with_nobody_waiting) {
  g_static.notify_one();
  g_static.notify_all();
  Mutex mutex;
  std::unique_lock lock(mutex);
  EXPECT_EQ(g_static.wait_for(lock, 1ms), std::cv_status::timeout);  // a notify is not kept
  EXPECT_TRUE(lock.owns_lock());
  EXPECT_FALSE(mutex.try_lock());
}

TEST_P(CondOf, CO1_notify_wakes_exactly_one) {
  constexpr int kWaiters = 4;
  Mutex mutex;
  Cond cond;
  std::atomic<int> awake{0};
  Crew crew(GetParam());
  for (int i = 0; i < kWaiters; ++i) {
    crew.start([&] {
      std::unique_lock lock(mutex);
      cond.wait(lock);
      ++awake;
    });
  }
  await_asleep(&cond, kWaiters);
  for (int i = 0; i < kWaiters; ++i) {
    EXPECT_EQ(awake, i);
    {
      const std::lock_guard lock(mutex);
      cond.notify_one();
    }
    until([&] { return awake == i + 1; });
    EXPECT_EQ(count_asleep(&cond), kWaiters - i - 1);
  }
  cond.notify_one();
}

TEST_P(CondOf, CO2_first_come_first_served) {
  constexpr int kWaiters = 20;
  Mutex mutex;
  Cond cond;
  std::vector<int> order;
  Crew crew(GetParam());
  for (int i = 0; i < kWaiters; ++i) {
    crew.start([&, i] {
      std::unique_lock lock(mutex);
      cond.wait(lock);
      order.push_back(i);
    });
    await_asleep(&cond, i + 1);
  }
  for (std::size_t i = 0; i < kWaiters; ++i) {
    cond.notify_one();
    until([&] {
      const std::lock_guard lock(mutex);
      return order.size() == i + 1;
    });
    EXPECT_EQ(order[i], static_cast<int>(i));
  }
}

TEST_P(CondOf, CO3_notify_all_wakes_each_once) {
  const int waiters = GetParam() == Who::kGoroutines ? 200 : 20;
  constexpr int kRounds = 50;
  Mutex mutex;
  Cond cond;
  int round = 0;
  int arrived = 0;
  int woken = 0;
  Crew crew(GetParam());
  for (int i = 0; i < waiters; ++i) {
    crew.start([&] {
      std::unique_lock lock(mutex);
      for (int mine = 0; mine < kRounds; ++mine) {
        ++arrived;
        cond.wait(lock);
        ASSERT_EQ(round, mine + 1);
        ++woken;
      }
    });
  }
  for (int i = 0; i < kRounds; ++i) {
    until([&] {
      const std::lock_guard lock(mutex);
      return arrived == (i + 1) * waiters;
    });
    const std::lock_guard lock(mutex);
    EXPECT_EQ(woken, i * waiters);
    ++round;
    cond.notify_all();
  }
  crew.join();
  EXPECT_EQ(woken, kRounds * waiters);
}

TEST_P(CondOf, CO4_three_in_turn) {
  constexpr int kRounds = 300;
  Mutex mutex;
  Cond cond;
  int turn = 0;
  Crew crew(GetParam());
  for (int me = 0; me < 3; ++me) {
    crew.start([&, me] {
      for (int i = 0; i < kRounds; ++i) {
        std::unique_lock lock(mutex);
        cond.wait(lock, [&] { return turn % 3 == me; });
        ++turn;
        cond.notify_all();
      }
    });
  }
  crew.join();
  EXPECT_EQ(turn, 3 * kRounds);
}

// CO5 (and glibc 25847): a notify goes to who waited then, not to one that came later.
TEST_P(CondOf, CO5_notify_is_not_stolen) {
  for (int i = 0; i < 300; ++i) {
    Mutex mutex;
    Cond cond;
    bool first_woken = false;
    Crew crew(GetParam());
    crew.start([&] {
      std::unique_lock lock(mutex);
      cond.wait(lock);
      first_woken = true;
      cond.notify_one();
    });
    await_asleep(&cond, 1);
    std::unique_lock lock(mutex);
    cond.notify_one();
    cond.wait(lock);  // queues at once, after the notify
    EXPECT_TRUE(first_woken);
  }
}

TEST_P(CondOf, any_basic_lockable) {
  RWMutex rw;
  std::mutex plain;
  Guarded<int> guarded(0);
  Cond cond;
  std::atomic<int> woken{0};
  Crew crew(GetParam());
  crew.start([&] {
    const std::unique_lock lock(rw);
    cond.wait(rw);
    ++woken;
  });
  crew.start([&] {
    std::shared_lock lock(rw);
    cond.wait(lock);
    ++woken;
  });
  crew.start([&] {
    auto locked = guarded.lock();
    cond.wait(locked, [&] { return *locked == 1; });
    ++woken;
  });
  crew.start([&] {
    auto locked = guarded.lock();
    cond.wait(locked, [&] { return *locked == 1; });
    ++woken;
  });
  std::thread thread([&] {
    std::unique_lock lock(plain);
    cond.wait(lock);
    ++woken;
  });
  await_asleep(&cond, 5);
  *guarded.lock() = 1;
  cond.notify_all();
  crew.join();
  thread.join();
  EXPECT_EQ(woken, 5);
}

TEST_P(CondOf, timeout) {
  Crew crew(GetParam());
  crew.start([] {
    Mutex mutex;
    Cond cond;
    std::unique_lock lock(mutex);
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(cond.wait_for(lock, 2ms), std::cv_status::timeout);
    EXPECT_GE(std::chrono::steady_clock::now() - start, 2ms);
    EXPECT_EQ(cond.wait_for(lock, -1s), std::cv_status::timeout);
    EXPECT_EQ(cond.wait_until(lock, std::chrono::system_clock::now() + 1ms),
              std::cv_status::timeout);
    EXPECT_FALSE(cond.wait_for(lock, 1ms, [] { return false; }));
    EXPECT_TRUE(cond.wait_for(lock, 1ms, [] { return true; }));
    EXPECT_FALSE(cond.wait_until(lock, start, [] { return false; }));
    EXPECT_TRUE(lock.owns_lock());
    EXPECT_EQ(count_asleep(&cond), 0);
  });
}

TEST_P(CondOf, stop) {
  Mutex mutex;
  Cond cond;
  std::stop_source stop;
  Crew crew(GetParam());
  for (int i = 0; i < 3; ++i) {
    crew.start([&] {
      std::unique_lock lock(mutex);
      EXPECT_FALSE(cond.wait(lock, stop.get_token(), [] { return false; }));
      EXPECT_TRUE(cond.wait(lock, stop.get_token(), [] { return true; }));
      EXPECT_TRUE(lock.owns_lock());
    });
  }
  await_asleep(&cond, 3);
  stop.request_stop();
  crew.join();
  std::unique_lock lock(mutex);
  EXPECT_FALSE(cond.wait(lock, stop.get_token(), [] { return false; }));
}

// Each notify ends exactly one wait, however many others give up meanwhile.
TEST_P(CondOf, timeout_races_with_notify) {
  Mutex mutex;
  Cond cond;
  int tokens = 0;
  int taken = 0;
  constexpr int kTokens = 500;
  Crew crew(GetParam());
  for (int i = 0; i < 4; ++i) {
    crew.start([&, i] {
      std::minstd_rand random(static_cast<unsigned>(i + 1));
      std::unique_lock lock(mutex);
      while (taken < kTokens) {
        if (tokens > 0) {
          --tokens;
          ++taken;
          cond.notify_all();
        } else {
          (void)cond.wait_for(lock, std::chrono::microseconds(random() % 50));
        }
      }
    });
  }
  crew.start([&] {
    for (int i = 0; i < kTokens; ++i) {
      std::unique_lock lock(mutex);
      cond.wait(lock, [&] { return tokens < 2; });
      ++tokens;
      cond.notify_one();
    }
  });
  crew.join();
  EXPECT_EQ(taken, kTokens);
  EXPECT_EQ(count_asleep(&cond), 0);
}

TEST_P(CondOf, bounded_queue) {
  Mutex mutex;
  Cond changed;
  std::deque<int> queue;
  constexpr int kItems = 2000;
  std::int64_t sum = 0;
  Crew crew(GetParam());
  for (int i = 0; i < 2; ++i) {
    crew.start([&] {
      for (int item = 1; item <= kItems; ++item) {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return queue.size() < 4; });
        queue.push_back(item);
        changed.notify_all();
      }
    });
    crew.start([&] {
      for (int item = 0; item < kItems; ++item) {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return !queue.empty(); });
        sum += queue.front();
        queue.pop_front();
        changed.notify_all();
      }
    });
  }
  crew.join();
  EXPECT_EQ(sum, std::int64_t{kItems} * (kItems + 1));
}

TEST_P(CondOf, destroyed_once_all_were_notified) {
  for (int i = 0; i < 300; ++i) {
    Mutex mutex;
    auto cond = std::make_unique<Cond>();
    Crew crew(GetParam());
    for (int j = 0; j < 2; ++j) {
      crew.start([&, raw = cond.get()] {
        std::unique_lock lock(mutex);
        raw->wait(lock);
      });
    }
    await_asleep(cond.get(), 2);
    cond->notify_all();
    cond.reset();
  }
}

// Waiters that were notified while the Mutex is held, whose deadline passes before they are given
// it.
TEST_P(CondOf, notified_before_the_deadline_but_locked_after) {
  constexpr int kWaiters = 4;
  bool all_in_time = false;
  for (auto wait = 20ms; !all_in_time; wait *= 2) {
    Mutex mutex;
    Cond cond;
    std::atomic<int> notified{0};
    std::atomic<int> late{0};
    const auto start = std::chrono::steady_clock::now();
    Crew crew(GetParam());
    for (int i = 0; i < kWaiters; ++i) {
      crew.start([&] {
        std::unique_lock lock(mutex);
        ++(cond.wait_for(lock, wait) == std::cv_status::no_timeout ? notified : late);
      });
    }
    until([&] { return count_asleep(&cond) == kWaiters || late > 0; });
    mutex.lock();
    std::thread other = contend(mutex);
    all_in_time = count_asleep(&cond) == kWaiters;
    cond.notify_all();
    all_in_time = all_in_time && std::chrono::steady_clock::now() < start + wait;
    const auto end = std::chrono::steady_clock::now() + wait;
    until([&] { return std::chrono::steady_clock::now() >= end; });
    mutex.unlock();
    crew.join();
    other.join();
    if (all_in_time) {
      EXPECT_EQ(notified, kWaiters);
    }
    EXPECT_EQ(notified + late, kWaiters);
    EXPECT_TRUE(mutex.try_lock());
  }
}

// No thread wakes to find the Mutex locked; but while locks are watched each says itself what it
// waits for.
TEST_P(CondOf, threads_are_moved_to_the_mutex) {
  constexpr int kWaiters = 8;
  bool const moved = GetParam() == Who::kThreads && hamgam::detail::watched_bit() == 0;
  Mutex mutex;
  Cond cond;
  std::vector<int> order;
  Crew crew(GetParam());
  for (int i = 0; i < kWaiters; ++i) {
    crew.start([&, i] {
      std::unique_lock lock(mutex);
      cond.wait(lock);
      order.push_back(i);
    });
    await_asleep(&cond, i + 1);
  }
  mutex.lock();
  std::thread other = contend(mutex);
  cond.notify_all();
  EXPECT_EQ(count_asleep(&cond), 0);
  if (moved) {
    EXPECT_EQ(count_asleep(&mutex), 1 + kWaiters);
  } else {
    await_asleep(&mutex, 1 + kWaiters);
  }
  mutex.unlock();
  crew.join();
  other.join();
  ASSERT_EQ(order.size(), std::size_t{kWaiters});
  if (moved) {
    EXPECT_EQ(order.front(), 0);
  }
  EXPECT_TRUE(mutex.try_lock());
}

TEST_P(CondOf, notify_all_with_the_mutex_free) {
  for (int round = 0; round < 50; ++round) {
    Mutex mutex;
    Cond cond;
    int passed = 0;
    Crew crew(GetParam());
    for (int i = 0; i < 8; ++i) {
      crew.start([&] {
        std::unique_lock lock(mutex);
        cond.wait(lock);
        ++passed;
      });
    }
    await_asleep(&cond, 8);
    cond.notify_all();
    crew.join();
    EXPECT_EQ(passed, 8);
    EXPECT_TRUE(mutex.try_lock());
  }
}

TEST_P(CondOf, works_with_std_condition_variable_any) {
  RWMutex mutex;
  std::condition_variable_any standard;
  bool ready = false;
  std::thread waiter([&] {
    std::shared_lock lock(mutex);
    standard.wait(lock, [&] { return ready; });
  });
  std::thread other([&] {
    std::unique_lock lock(mutex);
    standard.wait(lock, [&] { return ready; });
  });
  {
    const std::scoped_lock lock(mutex);
    ready = true;
  }
  standard.notify_all();
  waiter.join();
  other.join();
}

// The first of many that are moved to the Mutex's queue is given that, returns and destroys the
// Cond, while the notify is still busy with the others. It used to store into the Cond at its end.
TEST_P(CondOf, is_not_touched_once_the_first_of_many_may_return) {
  constexpr int kWaiters = 100;
  for (int round = 0; round < 20; ++round) {
    alignas(Cond) std::array<unsigned char, sizeof(Cond)> place{};
    auto* const cond = ::new (place.data()) Cond;
    Mutex mutex;
    bool destroyed = false;
    Crew crew(GetParam());
    for (int i = 0; i < kWaiters; ++i) {
      crew.start([&] {
        std::unique_lock lock(mutex);
        cond->wait(lock);
        if (!std::exchange(destroyed, true)) {
          cond->~Cond();
          place.fill(0xAB);
        }
      });
    }
    await_asleep(cond, kWaiters);
    mutex.lock();
    std::thread other = contend(mutex);
    std::thread notifier([&] { cond->notify_all(); });
    await_asleep(&mutex, 2);
    mutex.unlock();
    notifier.join();
    other.join();
    crew.join();
    for (unsigned char const byte : place) {
      ASSERT_EQ(byte, 0xAB) << "round " << round;
    }
  }
}

}  // namespace
