// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <new>
#include <string>
#include <thread>

#include "hamgam/hamgam.h"
#include "support/child.h"

// No memory: std::bad_alloc from go, and nothing is lost. (The sanitizers' and the emulator's
// address space has no limit that could be set: these tests are not registered for them.)

namespace hamgam {
namespace {

using namespace std::chrono_literals;
using test::in_child;

// Lets the process have so much more address space than it has now.
void limit_memory(std::size_t more) {
  std::ifstream statm("/proc/self/statm");
  std::size_t pages = 0;
  statm >> pages;
  rlim_t const bytes = pages * 4096 + more;
  rlimit const limit{bytes, bytes};
  setrlimit(RLIMIT_AS, &limit);
}

// Parks as many goroutines as can be had, lets them go, and does it again: there is as much memory
// as before, and every goroutine that was started has run.
TEST(MisuseMemory, bad_alloc_and_nothing_lost) {
  auto child = in_child([] {
    (void)run([] { sleep(1ms); });
    limit_memory(256UL << 20);
    (void)run([] {
      auto token = std::make_shared<int>(0);
      int first = 0;
      for (int round = 0; round < 3; ++round) {
        Mutex gate;
        gate.lock();
        std::atomic<int> ran{0};
        WaitGroup group;
        int started = 0;
        try {
          for (;;) {
            group.go([&, token] {
              gate.lock();
              gate.unlock();
              ++ran;
            });
            ++started;
            if (started % 64 == 0) {
              yield();  // so that they get their stacks
            }
          }
        } catch (const std::bad_alloc&) {
        }
        gate.unlock();
        group.wait();
        if (ran.load() != started || token.use_count() != 1 || started < 100) {
          std::fprintf(stderr, "started %d, ran %d\n", started, ran.load());
          std::_Exit(3);
        }
        std::fprintf(stderr, "round %d: %d\n", round, started);
        if (round == 0) {
          first = started;
        } else if (started < first / 2) {
          std::_Exit(4);
        }
      }
    });
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

// The same from a plain thread, and with closures that need memory of their own.
TEST(MisuseMemory, bad_alloc_on_a_thread) {
  auto child = in_child([] {
    (void)run([] { sleep(1ms); });
    limit_memory(256UL << 20);
    auto token = std::make_shared<int>(0);
    Mutex gate;
    gate.lock();
    std::atomic<int> ran{0};
    WaitGroup group;
    int started = 0;
    bool refused = false;
    while (!refused) {
      try {
        group.go(GoOptions{.stack_size = 1U << 20}, [&, token, room = std::array<char, 1000>{}] {
          (void)room;
          gate.lock();
          gate.unlock();
          ++ran;
        });
        ++started;
      } catch (const std::bad_alloc&) {
        refused = true;
      }
    }
    gate.unlock();
    group.wait();
    if (ran.load() != started || token.use_count() != 1) {
      std::fprintf(stderr, "started %d, ran %d\n", started, ran.load());
      std::_Exit(3);
    }
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

// One that tries again until it gets it, while others end: it must not wait until everything is
// idle.
TEST(MisuseMemory, go_works_again_while_others_run) {
  auto child = in_child([] {
    (void)run([] {
      std::atomic<bool> busy{true};
      WaitGroup others;
      others.go([&] {
        while (busy.load()) {
          yield();
        }
      });
      limit_memory(128UL << 20);
      std::atomic<bool> open{false};
      WaitGroup group;
      try {
        for (int started = 0;; ++started) {
          group.go([&] {
            while (!open.load()) {
              yield();  // never idle
            }
          });
          if (started % 64 == 0) {
            yield();
          }
        }
      } catch (const std::bad_alloc&) {
        open.store(true);
      }
      group.wait();
      for (bool started = false; !started;) {
        try {
          group.go([] {});
          started = true;
        } catch (const std::bad_alloc&) {
          yield();
        }
      }
      group.wait();
      busy.store(false);
      others.wait();
    });
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

// Everybody waits for one that has no stack and never will.
TEST(MisuseMemory, starved_for_good) {
  auto child = in_child([] {
    (void)run([] { sleep(1ms); });
    limit_memory(512UL << 20);
    (void)run([] {
      WaitGroup group;
      group.go(GoOptions{.stack_size = 1U << 30}, [] {});
      group.wait();
    });
  });
  EXPECT_TRUE(child.aborted()) << child.status;
  EXPECT_TRUE(child.begins("fatal error: out of memory: no stack for a goroutine\n"))
      << child.error;
}

}  // namespace
}  // namespace hamgam
