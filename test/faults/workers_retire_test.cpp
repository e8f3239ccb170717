// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <latch>
#include <optional>
#include <vector>

#include "hamgam/detail/worker_slot.h"
#include "hamgam/hamgam.h"
#include "sched/scheduler.h"
#include "support/crew.h"
#include "support/scale.h"
#include "support/until.h"

// Calls that block at the same time make workers; once they are over these are in nobody's way.

namespace hamgam {
namespace {

using namespace std::chrono_literals;
using detail::g_places;
using test::Procs;

// So many calls that block at the same time; each runs f while all do.
template <class F>
void burst(int count, F f) {
  std::latch all(count);
  WaitGroup group;
  for (int i = 0; i < count; ++i) {
    group.go([&, i] {
      blocking([&] {
        all.arrive_and_wait();
        f(i);
      });
    });
  }
  group.wait();
}

template <class C>
void until(C condition) {
  ASSERT_TRUE(test::comes_true(condition));
}

TEST(WorkersRetire, places_and_slots_are_few_again) {
  Procs const procs(2);
  int const count = test::scaled(200);
  (void)run([count] {
    for (int round = 0; round < 3; ++round) {
      burst(count, [](int) {});
      EXPECT_GE(detail::g_scheduler.threads.load(), static_cast<unsigned>(count));
      until([] { return g_places.taken() <= 3 && g_places.count() <= 3; });
      std::atomic<bool> without_slot{false};
      WaitGroup group;
      for (int i = 0; i < 100; ++i) {
        group.go([&] {
          yield();
          if (detail::worker_slot() == 0) {
            without_slot.store(true);
          }
        });
      }
      group.wait();
      EXPECT_FALSE(without_slot.load());
    }
  });
}

TEST(WorkersRetire, also_when_there_are_to_be_fewer) {
  Procs const procs(16);
  (void)run([] {
    burst(16, [](int) {});
    max_procs(1);
    until([] { return g_places.taken() <= 2; });
  });
}

// Timers that were set on a worker that has retired since: they fire once, or are stopped.
TEST(WorkersRetire, timers_fire_once) {
  Procs const procs(2);
  int const count = test::scaled(60);
  (void)run([count] {
    for (std::chrono::milliseconds const delay : {0ms, 1ms, 20ms}) {
      std::vector<std::atomic<int>> fired(static_cast<std::size_t>(count));
      std::vector<std::optional<Timer>> timers(static_cast<std::size_t>(count));
      std::vector<std::optional<RecvChan<TimePoint>>> ticks(static_cast<std::size_t>(count));
      burst(count, [&](int i) {
        auto const at = static_cast<std::size_t>(i);
        timers[at].emplace(after_func(delay + 1ms, [&fired, at] { ++fired[at]; }));
        ticks[at].emplace(after(delay));
      });
      std::vector<int> wanted(timers.size(), 1);
      for (std::size_t i = 0; i < timers.size(); ++i) {
        (void)ticks[i]->recv();
        if (i % 3 == 0 && timers[i]->stop()) {
          wanted[i] = 0;
        } else if (i % 3 == 1 && !timers[i]->reset(2ms)) {
          wanted[i] = 2;  // it had fired before
        }
      }
      for (std::size_t i = 0; i < timers.size(); ++i) {
        until([&] { return fired[i].load() >= wanted[i]; });
      }
      sleep(5ms);  // those that must not fire any more would
      for (std::size_t i = 0; i < timers.size(); ++i) {
        EXPECT_EQ(fired[i].load(), wanted[i]);
      }
    }
  });
}

// Bursts beside everything that belongs to one worker: slots, queues, timers, counters.
TEST(WorkersRetire, stress) {
  Procs const procs(2);
  int const rounds = test::scaled(100);
  (void)run([rounds] {
    std::size_t const before = num_goroutine();
    Pool<int> pool;
    Map<int, int> map;
    RWMutex mutex;
    std::atomic<bool> stop{false};
    std::atomic<std::int64_t> sum{0};
    WaitGroup users;
    for (int i = 0; i < 4; ++i) {
      users.go([&, i] {
        for (int n = 0; !stop.load(); ++n) {
          {
            auto object = pool.get();
            *object = n;
            map.store(n % 64, n);
            (void)map.load((n + i) % 64);
            if (*object != n) {
              sum -= 1'000'000;  // somebody else had it, too
            }
          }
          {
            SharedLockGuard const guard(mutex);
            ++sum;
          }
          n % 7 == 0 ? sleep(10us) : yield();
        }
      });
    }
    for (int round = 0; round < rounds; ++round) {
      burst(1 + round % 12, [&](int) {
        sleep(20us);  // on its thread
        (void)pool.get();
        (void)map.erase(round % 64);
        mutex.lock();
        mutex.unlock();
      });
      std::size_t const now = num_goroutine();
      EXPECT_GE(now, before);
      EXPECT_LE(now, before + 4 + 12);
    }
    stop.store(true);
    users.wait();
    until([&] { return num_goroutine() == before; });
    EXPECT_GT(sum.load(), 0);
    until([] { return g_places.taken() <= 3; });
  });
}

}  // namespace
}  // namespace hamgam
