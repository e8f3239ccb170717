// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>

#include "hamgam/hamgam.h"
#include "support/child.h"
#include "support/crew.h"
#include "support/scale.h"

// blocking: work that blocks its thread does not hold up other goroutines.

namespace hamgam {
namespace {

using namespace std::chrono_literals;
using test::Procs;
using SteadyClock = std::chrono::steady_clock;

TEST(Blocking, returns_what_f_returns) {
  WaitGroup group;
  group.go([] {
    EXPECT_EQ(blocking([] { return 5; }), 5);
    int value = 1;
    int& same = blocking([&]() -> int& { return value; });
    EXPECT_EQ(&same, &value);
    EXPECT_THROW(blocking([] { throw std::runtime_error("out"); }), std::runtime_error);
    blocking([] { blocking([] {}); });  // nested
  });
  group.wait();
  EXPECT_EQ(blocking([] { return 6; }), 6);  // on a thread
}

// The thread is blocked until another goroutine, of the same and only slot, has run.
TEST(Blocking, others_go_on) {
  for (int procs : {1, 2}) {
    Procs const limit(procs);
    int const rounds = test::scaled(200);
    (void)run([&] {
      for (int round = 0; round < rounds; ++round) {
        std::atomic<bool> ran{false};
        WaitGroup group;
        group.go([&] { ran.store(true); });  // is the next one of this worker
        blocking([&] {
          while (!ran.load()) {
            std::this_thread::yield();
          }
        });
        group.wait();
      }
    });
  }
}

// SC10 and more: all are in their blocking calls at the same time.
TEST(Blocking, SC10_a_hundred_at_once) {
  int const count = test::scaled(100);
  for (int procs : {1, 2}) {
    Procs const limit(procs);
    std::atomic<int> inside{0};
    WaitGroup group;
    for (int i = 0; i < count; ++i) {
      group.go([&] {
        blocking([&] {
          ++inside;
          while (inside.load() < count) {
            std::this_thread::sleep_for(1ms);  // as a system call would
          }
        });
      });
    }
    group.wait();
    EXPECT_EQ(inside.load(), count);
  }
}

// The surplus retires: no more run at once than max_procs allows, soon after.
TEST(Blocking, surplus_retires) {
  Procs const limit(1);
  WaitGroup group;
  for (int i = 0; i < 10; ++i) {
    group.go([] { blocking([] { std::this_thread::sleep_for(1ms); }); });
  }
  group.wait();
  std::atomic<int> inside{0};
  std::atomic<int> overlaps{0};
  for (int i = 0; i < 200; ++i) {
    group.go([&] {
      overlaps += inside.exchange(1) == 1 ? 1 : 0;
      auto const end = SteadyClock::now() + 10us;
      while (SteadyClock::now() < end) {
      }
      inside.store(0);
    });
  }
  group.wait();
  EXPECT_LT(overlaps.load(), 20);
}

// f may wait: the goroutine keeps its thread meanwhile.
TEST(Blocking, waits_inside) {
  int const rounds = test::scaled(500);
  Procs const limit(2);
  WaitGroup group;
  Mutex mutex;
  int counter = 0;
  for (int i = 0; i < 6; ++i) {
    group.go([&] {
      for (int round = 0; round < rounds; ++round) {
        blocking([&] {
          auto const thread = std::this_thread::get_id();
          {
            LockGuard const guard(mutex);
            ++counter;
            yield();
          }
          if (round % 32 == 0) {
            sleep(10us);
          }
          EXPECT_EQ(std::this_thread::get_id(), thread);
        });
      }
    });
  }
  group.wait();
  EXPECT_EQ(counter, 6 * rounds);
}

// Found by reading: with every worker blocked there is none that could sleep and keep time.
TEST(Blocking, timers_fire_while_all_are_blocked) {
  auto child = test::in_child(
      [] {
        (void)run([] {
          std::atomic<bool> slept{false};
          WaitGroup group;
          group.go([&] {
            sleep(20ms);
            slept.store(true);
          });
          yield();  // now it sleeps
          blocking([&] {
            while (!slept.load()) {
              std::this_thread::yield();
            }
          });
          group.wait();
        });
      },
      {"HAMGAM_PROCS=1"});
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

// Found by reading: the monitor had gone to sleep for good while everybody was blocked, and was not
// woken by the one that came back; a hog after that held up the others.
TEST(Blocking, the_monitor_wakes_with_whoever_comes_back) {
  auto child = test::in_child(
      [] {
        WaitGroup group;
        group.go([&] {
          blocking([] { std::this_thread::sleep_for(2500ms); });
          std::atomic<bool> ran{false};
          group.go([&] { ran.store(true); });
          while (!ran.load()) {  // only a spare worker can run it
          }
        });
        group.wait();
      },
      {"HAMGAM_PROCS=1"});
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

// A deadlock is none while somebody is in a blocking call, as it may wake the others.
TEST(Blocking, is_not_asleep) {
  auto child = test::in_child([] {
    (void)run([] {
      Mutex mutex;
      mutex.lock();
      go([&] {
        blocking([] { std::this_thread::sleep_for(100ms); });
        mutex.unlock();
      });
      mutex.lock();
    });
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
}

// What waited behind it, too, although all others always have something to do of their own.
TEST(Blocking, none_starves_in_the_queue_of_its_worker) {
  for (int procs : {1, 2}) {
    Procs const limit(procs);
    std::atomic<bool> ran{false};
    WaitGroup group;
    group.go([&] {
      group.go([&] { ran = true; });
      for (int i = 0; i < 2 * procs; ++i) {
        group.go([&] {
          while (!ran) {
            yield();
          }
        });
      }
      blocking([&] {
        while (!ran) {
          std::this_thread::yield();
        }
      });
    });
    group.wait();
  }
}

// The same where nobody was told that it would block.
TEST(Blocking, none_starves_in_the_queue_of_a_worker_that_blocks) {
  for (int procs : {1, 2}) {
    Procs const limit(procs);
    std::atomic<bool> ran{false};
    std::atomic<int> others{0};
    WaitGroup group;
    group.go([&] {
      for (int i = 0; i < 2 * procs; ++i) {
        group.go([&] {
          ++others;
          while (!ran) {
            yield();
          }
        });
      }
      while (procs > 1 && others < procs) {  // they keep the other workers busy
        yield();
      }
      group.go([] { yield(); });
      group.go([&] { ran = true; });
      while (!ran) {
        std::this_thread::yield();
      }
    });
    group.wait();
  }
}

TEST(Blocking, stress) {
  int const rounds = test::scaled(1000);
  for (int procs : {1, 3}) {
    Procs const limit(procs);
    std::atomic<int> done{0};
    WaitGroup group;
    for (int i = 0; i < 8; ++i) {
      group.go([&, i] {
        for (int round = 0; round < rounds; ++round) {
          if ((round + i) % 4 == 0) {
            blocking([] { std::this_thread::yield(); });
          } else if ((round + i) % 4 == 1) {
            WaitGroup inner;
            inner.go([&] { ++done; });
            blocking([&] { inner.wait(); });
          } else {
            yield();
          }
        }
      });
    }
    group.wait();
    EXPECT_EQ(done.load(), 8 * rounds / 4);
  }
}

}  // namespace
}  // namespace hamgam
