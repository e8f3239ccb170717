// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "hamgam/hamgam.h"
#include "support/child.h"
#include "support/crew.h"
#include "support/scale.h"

// What Go's tests of the scheduler check.

namespace hamgam {
namespace {

using namespace std::chrono_literals;
using test::Procs;
using SteadyClock = std::chrono::steady_clock;

// Uses its thread without a scheduling point.
void spin_for(SteadyClock::duration d) {
  auto const end = SteadyClock::now() + d;
  while (SteadyClock::now() < end) {
  }
}

// SC2: as many goroutines as max_procs are really on their threads at the same time.
TEST(Sched, SC2_parallel) {
  for (int procs : {2, 3, 4}) {
    Procs const limit(procs);
    for (int round = 0; round < 20; ++round) {
      std::atomic<int> arrived{0};
      WaitGroup group;
      for (int i = 0; i < procs; ++i) {
        group.go([&] {
          ++arrived;
          while (arrived.load() < procs) {  // no scheduling point
          }
        });
      }
      group.wait();
    }
  }
}

TEST(Sched, SC2_parallel_nested) {
  Procs const limit(2);
  std::function<void(int)> meet = [&](int depth) {
    if (depth == 0) {
      return;
    }
    std::atomic<int> arrived{0};
    WaitGroup group;
    for (int i = 0; i < 2; ++i) {
      group.go([&] {
        ++arrived;
        while (arrived.load() < 2) {
        }
      });
    }
    group.wait();
    meet(depth - 1);
  };
  (void)run([&] { meet(20); });
}

// SC3: timers fire while two goroutines pass a ball without end.
TEST(Sched, SC3_timers_beside_ping_pong) {
  for (int procs : {1, 2}) {
    Procs const limit(procs);
    constexpr int kStop = -1;
    Atomic<int> ball;
    WaitGroup players;
    for (int me = 0; me < 2; ++me) {
      players.go([&, me] {
        for (int turn = ball.load(); turn != kStop; turn = ball.load()) {
          if (turn % 2 != me) {
            ball.wait(turn);
          } else if (ball.compare_and_swap(turn, (turn + 1) % 2)) {
            ball.notify_all();
          }
        }
      });
    }
    WaitGroup sleeper;
    sleeper.go([] {
      for (int i = 0; i < 5; ++i) {
        sleep(2ms);
      }
    });
    sleeper.wait();
    ball.store(kStop);
    ball.notify_all();
    players.wait();
  }
}

// SC14: nor does a function that is due wait for their end, on one worker.
TEST(Sched, SC14_after_func_beside_ping_pong) {
  Procs const limit(1);
  auto const ping = make_chan<Unit>();
  auto const pong = make_chan<Unit>();
  Atomic<bool> stop;
  WaitGroup players;
  players.go([&] {
    while (!stop.load()) {
      ping.send({});
      (void)pong.recv();
    }
    ping.close();
  });
  players.go([&] {
    while (ping.recv()) {
      pong.send({});
    }
  });
  auto const timer = after_func(5ms, [&] { stop.store(true); });
  players.wait();  // for ever, if it were starved
}

// SC4, SC5: a goroutine without scheduling points does not stop the others, on one worker.
TEST(Sched, SC4_hog_beside_others) {
  Procs const limit(1);
  std::atomic<bool> stop{false};
  WaitGroup hogs;
  for (int i = 0; i < 2; ++i) {
    hogs.go([&] {
      while (!stop.load()) {
      }
    });
  }
  WaitGroup light;
  for (int i = 0; i < 5; ++i) {
    light.go([] {
      for (int round = 0; round < 10; ++round) {
        yield();
      }
    });
  }
  light.wait();
  stop.store(true);
  hogs.wait();
}

// Found by reading: the hog had lost its slot, everybody else slept, and "all asleep" was declared.
TEST(Sched, hog_is_not_taken_for_asleep) {
  auto child = test::in_child(
      [] {
        (void)run([] {
          WaitGroup group;
          group.go([] { spin_for(150ms); });
          group.go([] {});
          group.wait();
        });
      },
      {"HAMGAM_PROCS=1"});
  EXPECT_TRUE(child.succeeded()) << child.error;
}

// Found by reading: the thread that called run had been woken but had not come to run yet, and
// counted as asleep. Here it has the lowest priority and shares its CPU with a process that never
// rests.
TEST(Sched, main_thread_slow_to_wake_is_not_taken_for_asleep) {
  auto child = test::in_child([] {
    cpu_set_t first;
    CPU_ZERO(&first);
    cpu_set_t allowed;
    sched_getaffinity(0, sizeof allowed, &allowed);
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &allowed)) {
        CPU_SET(cpu, &first);
        break;
      }
    }
    (void)run([] {});  // the workers start on all CPUs
    sched_setaffinity(0, sizeof first, &first);
    pid_t const busy = fork();
    if (busy == 0) {
      alarm(30);
      for (;;) {
        __asm__ volatile("");
      }
    }
    sched_param const lowest{};
    sched_setscheduler(0, SCHED_IDLE, &lowest);
    for (int i = 0; i < 20; ++i) {
      (void)run([] { yield(); });
    }
    kill(busy, SIGKILL);
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
}

// SC11
TEST(Sched, SC11_max_procs_while_running) {
  Procs const restore(0);
  std::atomic<bool> stop{false};
  WaitGroup group;
  for (int i = 0; i < 2; ++i) {
    group.go([&] {
      while (!stop.load()) {
        WaitGroup small;
        for (int j = 0; j < 4; ++j) {
          small.go([] { yield(); });
        }
        small.wait();
      }
    });
  }
  int const rounds = test::scaled(2000);
  int last = max_procs();
  for (int round = 0; round < rounds; ++round) {
    int const next = 1 + round % 5;
    EXPECT_EQ(max_procs(next), last);
    last = next;
    if (round % 16 == 0) {
      std::this_thread::yield();
    }
  }
  stop.store(true);
  group.wait();
}

TEST(Sched, max_procs_limits) {
  Procs const limit(2);
  EXPECT_EQ(max_procs(), 2);
  EXPECT_EQ(max_procs(0), 2);
  EXPECT_EQ(max_procs(-7), 2);
  EXPECT_EQ(max_procs(3), 2);
  EXPECT_EQ(max_procs(1), 3);
  // With one, two goroutines without scheduling points never overlap, unless one is found to hog.
  std::atomic<int> inside{0};
  std::atomic<int> overlaps{0};
  WaitGroup group;
  for (int i = 0; i < 200; ++i) {
    group.go([&] {
      overlaps += inside.exchange(1) == 1 ? 1 : 0;
      spin_for(10us);
      inside.store(0);
    });
  }
  group.wait();
  EXPECT_LT(overlaps.load(), 20);
}

TEST(Sched, max_procs_grows_while_all_are_busy) {
  Procs const limit(1);
  std::atomic<int> arrived{0};
  WaitGroup group;
  for (int i = 0; i < 3; ++i) {
    group.go([&] {
      ++arrived;
      while (arrived.load() < 3) {
        yield();
      }
      ++arrived;
      while (arrived.load() < 6) {  // all three must be on threads
      }
    });
  }
  while (arrived.load() < 3) {
    std::this_thread::yield();
  }
  max_procs(3);
  group.wait();
}

// A goroutine goes on on another thread, with its locals and the exception that it handles. Six of
// them and a plain thread pass a ball on; whom the thread wakes may be taken by any worker.
TEST(Sched, migrate) {
  Procs const limit(3);
  int const wanted = test::scaled(10000);
  constexpr int kPlayers = 7;
  std::atomic<long> migrations{0};
  std::atomic<bool> over{false};
  Atomic<int> ball;
  auto play = [&](int me) {
    int now = ball.load();
    while (now % kPlayers != me) {
      ball.wait(now);
      now = ball.load();
    }
  };
  auto pass_on = [&] {
    ball.add(1);
    ball.notify_all();
  };
  WaitGroup group;
  for (int me = 1; me < kPlayers; ++me) {
    group.go([&, me] {
      pid_t last = gettid();  // not pthread_self(), which compilers take for constant
      std::uint64_t const id = goroutine_id();
      std::string const name = "goroutine number " + std::to_string(me);
      volatile double real = 1.0 / me;
      double const copy = real;
      for (bool last_round = false; !last_round;) {
        try {
          throw std::runtime_error(name);
        } catch (const std::exception& e) {
          play(me);
          ASSERT_EQ(e.what(), name);
        }
        pid_t const now = gettid();
        migrations += now != last ? 1 : 0;
        last = now;
        ASSERT_EQ(goroutine_id(), id);
        ASSERT_EQ(copy, real);
        last_round = over.load();
        pass_on();
      }
    });
  }
  while (!over.load()) {  // number 0
    play(0);
    over.store(migrations.load() >= wanted);
    pass_on();
  }
  group.wait();
  EXPECT_GE(migrations.load(), wanted);
  std::printf("%ld changes of thread\n", migrations.load());
}

// A goroutine parks inside a catch block while others throw and catch on the same threads.
TEST(Sched, parked_in_a_catch_block) {
  int const rounds = test::scaled(2000);
  WaitGroup group;
  Mutex mutex;
  for (int i = 0; i < 8; ++i) {
    group.go([&, i] {
      for (int round = 0; round < rounds; ++round) {
        std::string const text = std::to_string(i) + ' ' + std::to_string(round);
        try {
          throw std::runtime_error(text);
        } catch (const std::exception& outer) {
          mutex.lock();
          yield();
          mutex.unlock();
          try {
            throw i;
          } catch (int inner) {
            yield();
            ASSERT_EQ(inner, i);
          }
          ASSERT_EQ(outer.what(), text);
          try {
            throw;
          } catch (const std::runtime_error& again) {
            ASSERT_EQ(again.what(), text);
          }
        }
        ASSERT_EQ(std::uncaught_exceptions(), 0);
      }
    });
  }
  group.wait();
}

// Out of line: within one function a compiler may ask only once where errno is, which the
// goroutine's next thread would not like.
[[gnu::noinline]] void set_errno(int value) { errno = value; }
[[gnu::noinline]] int get_errno() { return errno; }

TEST(Sched, errno_is_kept) {
  WaitGroup group;
  for (int i = 1; i <= 8; ++i) {
    group.go([i] {
      for (int round = 0; round < 200; ++round) {
        set_errno(i);
        yield();
        ASSERT_EQ(get_errno(), i);
      }
    });
  }
  group.wait();
}

TEST(Sched, many_parked_at_once) {
  int const count = test::scaled_spawns(100000);
  Mutex gate;
  gate.lock();
  std::atomic<int> inside{0};
  WaitGroup started;
  WaitGroup ended;
  started.add(count);
  for (int i = 0; i < count; ++i) {
    ended.go([&] {
      started.done();
      gate.lock();
      ++inside;
      gate.unlock();
    });
  }
  started.wait();
  EXPECT_GE(num_goroutine(), static_cast<std::size_t>(count));
  gate.unlock();
  ended.wait();
  EXPECT_EQ(inside.load(), count);
}

// Kilobytes of resident memory.
long resident() {
  std::FILE* file = std::fopen("/proc/self/statm", "re");
  long size = 0;
  long pages = 0;
  if (std::fscanf(file, "%ld %ld", &size, &pages) != 2) {
    pages = 0;
  }
  std::fclose(file);
  return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

// KiB: much more than all the caches hold. The sanitizers keep what was freed.
#if defined(HAMGAM_ASAN) || defined(HAMGAM_TSAN)
constexpr long kBounded = 1024 * 1024;
#else
constexpr long kBounded = 64 * 1024;
#endif

TEST(Sched, one_after_another_in_bounded_memory) {
  int const count = test::scaled_spawns(1000000);
  (void)run([&] {
    std::atomic<int> ran{0};
    auto spawn = [&](int n) {
      for (int i = 0; i < n; ++i) {
        WaitGroup group;
        group.go([&] { ++ran; });
        if (i % 3 == 0) {
          group.go(GoOptions{.name = "named", .stack_size = i % 2 == 0 ? 0U : 20000U},
                   [] { yield(); });
        }
        group.wait();
      }
    };
    spawn(count / 10);
    long const before = resident();
    spawn(count);
    long const after = resident();
    EXPECT_EQ(ran.load(), count / 10 + count);
    EXPECT_LT(after - before, kBounded);
    std::printf("%ld KiB before, %ld KiB after\n", before, after);
  });
}

TEST(Sched, batches_in_bounded_memory) {
  int const batches = test::scaled_spawns(1000) / 10 + 2;
  (void)run([&] {
    long before = 0;
    for (int batch = 0; batch < batches; ++batch) {
      WaitGroup group;
      for (int i = 0; i < 2000; ++i) {
        group.go([] { yield(); });
      }
      group.wait();
      if (batch == batches / 10) {
        before = resident();
      }
    }
    EXPECT_LT(resident() - before, kBounded);
  });
}

}  // namespace
}  // namespace hamgam
