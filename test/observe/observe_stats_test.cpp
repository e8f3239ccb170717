// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "hamgam/hamgam.h"
#include "support/asleep.h"
#include "support/crew.h"
#include "support/until.h"

// The numbers of stats(). Goroutines of earlier tests may be about to end, and workers about to
// fall asleep: so all is waited for, by plain threads, which are none of these.

namespace hamgam {
namespace {

using namespace std::chrono_literals;
using observe::Stats;
using test::comes_true;

template <class F>
bool stats_come_to(F is_so) {
  return comes_true([&] { return is_so(observe::stats()); });
}

TEST(Stats, goroutines_are_counted_by_what_they_do) {
  test::Procs const one(1);
  ASSERT_TRUE(stats_come_to([](const Stats& s) { return s.goroutines == 0; }));
  WaitGroup group;
  auto const gate = make_chan<Unit>();
  for (int i = 0; i < 5; ++i) {
    group.go([&gate] { (void)gate.recv(); });
  }
  std::atomic<bool> over{false};
  group.go([&over] { blocking([&over] { test::until([&over] { return over.load(); }); }); });
  EXPECT_TRUE(stats_come_to([](const Stats& s) { return s.waiting == 5 && s.blocking == 1; }));
  std::atomic<bool> seen{false};
  group.go([&group, &seen] {
    for (int i = 0; i < 3; ++i) {
      group.go([] {});
    }
    Stats const s = observe::stats();
    EXPECT_EQ(s.running, 1U);
    EXPECT_EQ(s.runnable, 3U);  // there is one processor, and it is mine
    EXPECT_EQ(s.waiting, 5U);
    EXPECT_EQ(s.blocking, 1U);
    EXPECT_EQ(s.goroutines, 10U);
    EXPECT_EQ(s.workers_running, 1U);
    EXPECT_EQ(s.workers_blocked, 1U);
    EXPECT_GE(s.workers, 2U);
    EXPECT_EQ(s.max_procs, 1U);
    EXPECT_GE(s.stacks_used, 7U);
    EXPECT_GE(s.stacks, s.stacks_used);
    EXPECT_GE(s.stack_bytes, s.stacks * 16 * 1024);
    seen = true;
  });
  EXPECT_TRUE(comes_true([&seen] { return seen.load(); }));
  over = true;
  gate.close();
  group.wait();
  EXPECT_TRUE(stats_come_to([](const Stats& s) {
    return s.goroutines == 0 && s.running + s.runnable + s.waiting + s.blocking == 0 &&
           s.stacks_used == 0 && s.workers_asleep == s.workers;
  }));
}

TEST(Stats, one_that_waits_and_keeps_its_thread_blocks_a_worker) {
  WaitGroup group;
  auto const gate = make_chan<Unit>();
  group.go([&gate] { blocking([&gate] { (void)gate.recv(); }); });
  EXPECT_TRUE(stats_come_to([](const Stats& s) {
    return s.goroutines == 1 && s.waiting == 1 && s.blocking == 0 && s.workers_blocked == 1;
  }));
  gate.close();
  group.wait();
}

TEST(Stats, what_was_done_is_counted_once) {
  constexpr std::uint64_t kGoroutines = 1000;
  Stats const before = observe::stats();
  WaitGroup group;
  auto const gate = make_chan<Unit>();
  group.go([&] {
    for (std::uint64_t i = 1; i < kGoroutines; ++i) {
      group.go([&gate] { (void)gate.recv(); });
    }
  });
  EXPECT_TRUE(stats_come_to([](const Stats& s) { return s.waiting == kGoroutines - 1; }));
  Stats const after = observe::stats();
  EXPECT_EQ(after.spawned - before.spawned, kGoroutines);
  EXPECT_EQ(after.parks - before.parks, kGoroutines - 1);
  gate.close();
  group.wait();
}

TEST(Stats, timers_that_are_set_are_counted) {
  std::size_t const before = observe::stats().timers;
  {
    std::vector<Timer> timers;
    for (int i = 0; i < 3; ++i) {
      timers.push_back(after_func(24h, [] {}));
    }
    auto [context, cancel] = with_timeout(Context::background(), 24h);
    EXPECT_EQ(observe::stats().timers, before + 4);
    cancel();
    EXPECT_TRUE(stats_come_to([&](const Stats& s) { return s.timers == before + 3; }));
    for (Timer& timer : timers) {
      EXPECT_TRUE(timer.stop());
    }
  }
  EXPECT_TRUE(stats_come_to([&](const Stats& s) { return s.timers == before; }));
}

// One worker has all the goroutines in its own queue, and keeps the processor: whoever else runs
// one has stolen it. Or the monitor was first, and gave them to all, on a machine that is busy.
TEST(Stats, steals_are_counted) {
  test::Procs const two(2);
  std::uint64_t const before = observe::stats().steals;
  EXPECT_TRUE(comes_true([before] {
    std::atomic<int> ran{0};
    WaitGroup group;
    group.go([&] {
      for (int i = 0; i < 10; ++i) {
        group.go([&ran] { ++ran; });
      }
      while (ran < 9) {  // the last one may be left to its own worker
        std::this_thread::yield();
      }
    });
    group.wait();
    return observe::stats().steals > before;
  }));
}

using observe::Histogram;

TEST(Stats, a_histogram_tells_how_long_parts_of_it_took) {
  constexpr Histogram kNone;
  static_assert(kNone.total() == 0 && kNone.quantile(0.5) == 0ns);
  Histogram times;
  times.counts[4] = 98;  // 8 to 16 ns
  times.counts[20] = 2;
  EXPECT_EQ(times.total(), 100U);
  EXPECT_EQ(times.quantile(0), 16ns);
  EXPECT_EQ(times.quantile(0.98), 16ns);
  EXPECT_EQ(times.quantile(0.981), 1048576ns);
  EXPECT_EQ(times.quantile(1), 1048576ns);
  times.counts[Histogram::kBuckets - 1] = 1;
  EXPECT_GT(times.quantile(1), 9min);
}

std::uint64_t long_ones(const Histogram& now, const Histogram& before,
                        std::chrono::nanoseconds least) {
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < Histogram::kBuckets; ++i) {
    if (std::int64_t{1} << i > least.count()) {
      count += now.counts[i] - before.counts[i];
    }
  }
  return count;
}

// There is one processor, and somebody computes on it for 3 ms. (Others get another one meanwhile
// if the machine does not let him, so one good try is enough.)
TEST(Stats, latency_of_those_that_were_started_or_woken) {
  test::Procs const one(1);
  ASSERT_TRUE(stats_come_to([](const Stats& s) { return s.goroutines == 0; }));
  EXPECT_TRUE(comes_true([] {
    Histogram const before = observe::stats().scheduler_latency;
    observe::profile_waits();
    auto const gate = make_chan<Unit>();
    WaitGroup group;
    group.go([&gate] { (void)gate.recv(); });
    EXPECT_TRUE(stats_come_to(
        [](const Stats& s) { return s.waiting == 1 && s.workers_asleep == s.workers; }));
    group.go([&] {
      gate.close();
      group.go([] {});
      auto const start = std::chrono::steady_clock::now();
      while (std::chrono::steady_clock::now() - start < 3ms) {
      }
    });
    group.wait();
    Histogram const counted = observe::stats().scheduler_latency;
    observe::profile_waits(false);
    EXPECT_EQ(counted.total() - before.total(), 4U);  // three starts, one wake-up
    group.go([] { yield(); });
    group.wait();
    EXPECT_EQ(observe::stats().scheduler_latency.total(), counted.total());
    return long_ones(counted, before, 3ms) >= 2;  // who was woken, who was started
  }));
}

TEST(Stats, waits_for_locks) {
  Histogram const before = observe::stats().lock_waits;
  observe::profile_waits();
  Mutex mutex;
  RWMutex rw_mutex;
  for (int i = 0; i < 100; ++i) {
    std::scoped_lock const both(mutex, rw_mutex);  // nobody waits
  }
  std::unique_lock held(mutex);
  std::unique_lock written(rw_mutex);
  std::thread waits([&] { std::lock_guard const guard(mutex); });
  WaitGroup readers;
  readers.go([&] { SharedLockGuard const guard(rw_mutex); });
  test::await_asleep(&mutex, 1);
  ASSERT_TRUE(stats_come_to([](const Stats& s) { return s.waiting == 1; }));
  std::this_thread::sleep_for(2ms);
  held.unlock();
  written.unlock();
  waits.join();
  readers.wait();
  observe::profile_waits(false);
  Histogram const after = observe::stats().lock_waits;
  EXPECT_EQ(after.total() - before.total(), 2U);
  EXPECT_EQ(long_ones(after, before, 2ms), 2U);
}

// Numbers that add up do so at every moment, and none is negative.
TEST(Stats, add_up_while_goroutines_come_and_go) {
  std::atomic<bool> over{false};
  WaitGroup group;
  for (int i = 0; i < 4; ++i) {
    group.go([&] {
      WaitGroup inner;
      while (!over) {
        for (int j = 0; j < 10; ++j) {
          inner.go([] { yield(); });
        }
        inner.wait();
      }
    });
  }
  std::uint64_t spawned = 0;
  for (int i = 0; i < 1000; ++i) {
    Stats const s = observe::stats();
    EXPECT_EQ(s.running + s.runnable + s.waiting + s.blocking, s.goroutines);
    EXPECT_LT(s.goroutines, 1000U);
    EXPECT_LT(s.runnable, 1000U);
    EXPECT_GE(s.spawned, spawned);
    spawned = s.spawned;
  }
  over = true;
  group.wait();
}

}  // namespace
}  // namespace hamgam
