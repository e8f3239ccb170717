// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/cond.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <random>
#include <shared_mutex>
#include <stop_token>
#include <vector>

#include "actors.h"
#include "hamgam/guarded.h"
#include "hamgam/rwmutex.h"

namespace {

using namespace std::chrono_literals;
using hamgam::Cond;
using hamgam::Guarded;
using hamgam::Mutex;
using hamgam::RWMutex;
using hamgam_test::Actors;
using hamgam_test::Kind;
using hamgam_test::parked_on;
using hamgam_test::until;
using hamgam_test::until_parked;

static_assert(sizeof(Cond) == 4);
// CO6: what Go finds at run time does not compile here.
static_assert(!std::is_copy_constructible_v<Cond> && !std::is_move_constructible_v<Cond>);
static_assert(!std::is_copy_assignable_v<Cond> && !std::is_move_assignable_v<Cond>);
constinit Cond g_static;

class CondOf : public testing::TestWithParam<Kind> {};
INSTANTIATE_TEST_SUITE_P(Kinds, CondOf, hamgam_test::all_kinds(), hamgam_test::kind_name);

TEST(Cond, NotifyWithNobodyWaiting) {
  g_static.notify_one();
  g_static.notify_all();
  Mutex mutex;
  std::unique_lock lock(mutex);
  EXPECT_EQ(g_static.wait_for(lock, 1ms), std::cv_status::timeout);  // a notify is not kept
  EXPECT_TRUE(lock.owns_lock());
  EXPECT_FALSE(mutex.try_lock());
}

// CO1
TEST_P(CondOf, NotifyWakesExactlyOne) {
  constexpr int kWaiters = 4;
  Mutex mutex;
  Cond cond;
  std::atomic<int> awake{0};
  Actors actors(GetParam());
  for (int i = 0; i < kWaiters; ++i) {
    actors.start([&] {
      std::unique_lock lock(mutex);
      cond.wait(lock);
      ++awake;
    });
  }
  until_parked(&cond, kWaiters);
  for (int i = 0; i < kWaiters; ++i) {
    EXPECT_EQ(awake, i);
    {
      const std::lock_guard lock(mutex);
      cond.notify_one();
    }
    until([&] { return awake == i + 1; });
    EXPECT_EQ(parked_on(&cond), kWaiters - i - 1);
  }
  cond.notify_one();
}

// CO2
TEST_P(CondOf, FirstComeFirstServed) {
  constexpr int kWaiters = 20;
  Mutex mutex;
  Cond cond;
  std::vector<int> order;
  Actors actors(GetParam());
  for (int i = 0; i < kWaiters; ++i) {
    actors.start([&, i] {
      std::unique_lock lock(mutex);
      cond.wait(lock);
      order.push_back(i);
    });
    until_parked(&cond, i + 1);
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

// CO3
TEST_P(CondOf, NotifyAllWakesEachOnce) {
  const int waiters = GetParam() == Kind::kGoroutines ? 200 : 20;
  constexpr int kRounds = 50;
  Mutex mutex;
  Cond cond;
  int round = 0;
  int arrived = 0;
  int woken = 0;
  Actors actors(GetParam());
  for (int i = 0; i < waiters; ++i) {
    actors.start([&] {
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
  actors.join();
  EXPECT_EQ(woken, kRounds * waiters);
}

// CO4
TEST_P(CondOf, ThreeInTurn) {
  constexpr int kRounds = 300;
  Mutex mutex;
  Cond cond;
  int turn = 0;
  Actors actors(GetParam());
  for (int me = 0; me < 3; ++me) {
    actors.start([&, me] {
      for (int i = 0; i < kRounds; ++i) {
        std::unique_lock lock(mutex);
        cond.wait(lock, [&] { return turn % 3 == me; });
        ++turn;
        cond.notify_all();
      }
    });
  }
  actors.join();
  EXPECT_EQ(turn, 3 * kRounds);
}

// CO5 (and glibc 25847): a notify goes to who waited then, not to one that came later.
TEST_P(CondOf, NotifyIsNotStolen) {
  for (int i = 0; i < 300; ++i) {
    Mutex mutex;
    Cond cond;
    bool first_woken = false;
    Actors actors(GetParam());
    actors.start([&] {
      std::unique_lock lock(mutex);
      cond.wait(lock);
      first_woken = true;
      cond.notify_one();
    });
    until_parked(&cond, 1);
    std::unique_lock lock(mutex);
    cond.notify_one();
    cond.wait(lock);  // queues at once, after the notify
    EXPECT_TRUE(first_woken);
  }
}

TEST_P(CondOf, AnyBasicLockable) {
  RWMutex rw;
  std::mutex plain;
  Guarded<int> guarded(0);
  Cond cond;
  std::atomic<int> woken{0};
  Actors actors(GetParam());
  actors.start([&] {
    const std::unique_lock lock(rw);
    cond.wait(rw);
    ++woken;
  });
  actors.start([&] {
    std::shared_lock lock(rw);
    cond.wait(lock);
    ++woken;
  });
  actors.start([&] {
    auto locked = guarded.lock();
    cond.wait(locked, [&] { return *locked == 1; });
    ++woken;
  });
  actors.start([&] {
    auto locked = guarded.lock();
    cond.wait(locked, [&] { return *locked == 1; });
    ++woken;
  });
  std::thread thread([&] {
    std::unique_lock lock(plain);
    cond.wait(lock);
    ++woken;
  });
  until_parked(&cond, 5);
  *guarded.lock() = 1;
  cond.notify_all();
  actors.join();
  thread.join();
  EXPECT_EQ(woken, 5);
}

TEST_P(CondOf, Timeout) {
  Actors actors(GetParam());
  actors.start([] {
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
    EXPECT_EQ(parked_on(&cond), 0);
  });
}

TEST_P(CondOf, Stop) {
  Mutex mutex;
  Cond cond;
  std::stop_source stop;
  Actors actors(GetParam());
  for (int i = 0; i < 3; ++i) {
    actors.start([&] {
      std::unique_lock lock(mutex);
      EXPECT_FALSE(cond.wait(lock, stop.get_token(), [] { return false; }));
      EXPECT_TRUE(cond.wait(lock, stop.get_token(), [] { return true; }));
      EXPECT_TRUE(lock.owns_lock());
    });
  }
  until_parked(&cond, 3);
  stop.request_stop();
  actors.join();
  std::unique_lock lock(mutex);
  EXPECT_FALSE(cond.wait(lock, stop.get_token(), [] { return false; }));
}

// Each notify ends exactly one wait, however many others give up meanwhile.
TEST_P(CondOf, TimeoutRacesWithNotify) {
  Mutex mutex;
  Cond cond;
  int tokens = 0;
  int taken = 0;
  constexpr int kTokens = 500;
  Actors actors(GetParam());
  for (int i = 0; i < 4; ++i) {
    actors.start([&, i] {
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
  actors.start([&] {
    for (int i = 0; i < kTokens; ++i) {
      std::unique_lock lock(mutex);
      cond.wait(lock, [&] { return tokens < 2; });
      ++tokens;
      cond.notify_one();
    }
  });
  actors.join();
  EXPECT_EQ(taken, kTokens);
  EXPECT_EQ(parked_on(&cond), 0);
}

TEST_P(CondOf, BoundedQueue) {
  Mutex mutex;
  Cond changed;
  std::deque<int> queue;
  constexpr int kItems = 2000;
  std::int64_t sum = 0;
  Actors actors(GetParam());
  for (int i = 0; i < 2; ++i) {
    actors.start([&] {
      for (int item = 1; item <= kItems; ++item) {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return queue.size() < 4; });
        queue.push_back(item);
        changed.notify_all();
      }
    });
    actors.start([&] {
      for (int item = 0; item < kItems; ++item) {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return !queue.empty(); });
        sum += queue.front();
        queue.pop_front();
        changed.notify_all();
      }
    });
  }
  actors.join();
  EXPECT_EQ(sum, std::int64_t{kItems} * (kItems + 1));
}

TEST_P(CondOf, DestroyedOnceAllWereNotified) {
  for (int i = 0; i < 300; ++i) {
    Mutex mutex;
    auto cond = std::make_unique<Cond>();
    Actors actors(GetParam());
    for (int j = 0; j < 2; ++j) {
      actors.start([&, raw = cond.get()] {
        std::unique_lock lock(mutex);
        raw->wait(lock);
      });
    }
    until_parked(cond.get(), 2);
    cond->notify_all();
    cond.reset();
  }
}

// Waiters that were notified while the Mutex is held, whose deadline passes before they are given it.
TEST_P(CondOf, NotifiedBeforeTheDeadlineButLockedAfter) {
  Mutex mutex;
  Cond cond;
  std::atomic<int> notified{0};
  Actors actors(GetParam());
  for (int i = 0; i < 4; ++i) {
    actors.start([&] {
      std::unique_lock lock(mutex);
      notified += cond.wait_for(lock, 100ms) == std::cv_status::no_timeout ? 1 : 0;
    });
  }
  until_parked(&cond, 4);
  mutex.lock();
  cond.notify_all();
  const auto late = std::chrono::steady_clock::now() + 150ms;
  until([&] { return std::chrono::steady_clock::now() >= late; });
  mutex.unlock();
  actors.join();
  EXPECT_EQ(notified, 4);
  EXPECT_TRUE(mutex.try_lock());
}

TEST_P(CondOf, WorksWithStdConditionVariableAny) {
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

}  // namespace
