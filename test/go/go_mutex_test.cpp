// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "hamgam/hamgam.h"
#include "support/asleep.h"
#include "support/crew.h"
#include "support/scale.h"

// What Go's tests of sync.Mutex check.

namespace hamgam {
namespace {

using namespace std::chrono_literals;
using test::Crew;
using test::Procs;
using test::Who;

class GoMutexTest : public testing::TestWithParam<Who> {};

INSTANTIATE_TEST_SUITE_P(, GoMutexTest, test::everybody(), test::name_of);

TEST_P(GoMutexTest, MU1_try_lock) {
  Mutex mutex;
  mutex.lock();
  EXPECT_FALSE(mutex.try_lock());
  mutex.unlock();
  EXPECT_TRUE(mutex.try_lock());
  Crew crew(GetParam());
  crew.start([&] { EXPECT_FALSE(mutex.try_lock()); });
  crew.join();
  mutex.unlock();
}

TEST_P(GoMutexTest, MU2_hammer_of_lock_and_try_lock) {
  Mutex mutex;
  int inside = 0;
  int sections = 0;
  std::atomic<int> counted{0};
  Crew crew(GetParam());
  for (int i = 0; i < 10; ++i) {
    crew.start([&] {
      for (int round = 0; round < 1000; ++round) {
        if (round % 3 == 0) {
          if (!mutex.try_lock()) {
            continue;
          }
        } else {
          mutex.lock();
        }
        EXPECT_EQ(++inside, 1);
        ++sections;
        ++counted;
        --inside;
        mutex.unlock();
      }
    });
  }
  crew.join();
  EXPECT_EQ(sections, counted.load());
}

// A hog holds the lock 100 us at a time and takes it again at once; the other one takes it ten
// times, sleeping before each. Go allows 10 s.
TEST_P(GoMutexTest, MU4_fairness) {
  Mutex mutex;
  std::atomic<bool> stop{false};
  Crew crew(GetParam());
  crew.start([&] {
    while (!stop.load()) {
      LockGuard const guard(mutex);
      auto const end = std::chrono::steady_clock::now() + 100us;
      while (std::chrono::steady_clock::now() < end) {
      }
    }
  });
  auto const start = std::chrono::steady_clock::now();
  crew.start([&] {
    for (int i = 0; i < 10; ++i) {
      sleep(100us);
      LockGuard const guard(mutex);
    }
    stop.store(true);
  });
  crew.join();
  EXPECT_LT(std::chrono::steady_clock::now() - start, 10s);
}

// The hog never sleeps and never leaves the lock free for longer than a moment. Without the
// hand-off after 1 ms the other would hardly ever come to run while the lock is free.
TEST_P(GoMutexTest, MU4_hand_off_from_a_tight_loop) {
  for (int procs : {1, 2}) {
    Procs const limit(procs);
    Mutex mutex;
    std::atomic<bool> stop{false};
    Crew crew(GetParam());
    crew.start([&] {
      while (!stop.load(std::memory_order_relaxed)) {
        LockGuard const guard(mutex);
      }
    });
    crew.start([&] {
      for (int i = 0; i < 20; ++i) {
        LockGuard const guard(mutex);
      }
      stop.store(true);
    });
  }
}

// The hand-off shown: whoever has waited for 1 ms has the lock next, even if the one that unlocks
// wants it back at once.
TEST_P(GoMutexTest, MU6_hand_off_after_1_ms) {
  Mutex mutex;
  for (int i = 0; i < 20; ++i) {
    std::vector<int> order;
    mutex.lock();
    Crew crew(GetParam());
    crew.start([&] {
      LockGuard const guard(mutex);
      order.push_back(1);
    });
    test::await_asleep(&mutex, 1);
    std::this_thread::sleep_for(1100us);  // it must have waited for so long: there is no event
    mutex.unlock();
    mutex.lock();
    order.push_back(2);
    mutex.unlock();
    crew.join();
    EXPECT_EQ(order, (std::vector<int>{1, 2}));
  }
}

// And among goroutines it runs before the one that unlocked goes on.
TEST(GoMutex, MU6_the_waiter_runs_first) {
  Procs const limit(1);
  int first = 0;
  constexpr int kTrials = 50;
  WaitGroup trials;
  trials.go([&] {
    Mutex mutex;
    for (int i = 0; i < kTrials; ++i) {
      std::atomic<bool> ran{false};
      mutex.lock();
      WaitGroup other;
      other.go([&] {
        LockGuard const guard(mutex);
        ran.store(true);
      });
      test::await_asleep(&mutex, 1);
      sleep(1100us);
      mutex.unlock();
      first += ran.load() ? 1 : 0;
      other.wait();
    }
  });
  trials.wait();
  EXPECT_GE(first, kTrials * 2 / 3);
}

// One that holds the lock long and one that holds it shortly (Go #13086): both get on.
TEST_P(GoMutexTest, fairness_of_slow_and_fast) {
  Mutex mutex;
  std::atomic<bool> stop{false};
  std::atomic<int> fast{0};
  Crew crew(GetParam());
  crew.start([&] {  // slow
    for (int i = 0; i < 20; ++i) {
      LockGuard const guard(mutex);
      sleep(1ms);
    }
    while (fast.load() == 0) {
      yield();
    }
    stop.store(true);
  });
  crew.start([&] {  // fast
    while (!stop.load()) {
      LockGuard const guard(mutex);
      ++fast;
    }
  });
  crew.join();
  EXPECT_GT(fast.load(), 0);
}

// Goroutines and plain threads on one Mutex: neither kind starves the other.
TEST(GoMutex, fairness_of_goroutines_and_threads) {
  for (int procs : {1, 2}) {
    Procs const limit(procs);
    Mutex mutex;
    std::atomic<int> hungry{4};
    Crew crew(Who::kBoth);
    for (int i = 0; i < 4; ++i) {
      crew.start([&] {
        for (int mine = 0; hungry.load() > 0; ++mine) {  // until each has had it 100 times
          LockGuard const guard(mutex);
          if (mine == 100) {
            --hungry;
          }
        }
      });
    }
  }
}

}  // namespace
}  // namespace hamgam
