// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <new>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "hamgam/hamgam.h"
#include "support/child.h"

// No memory: std::bad_alloc from go, and nothing is lost. (The sanitizers' and the emulator's
// address space has no limit that could be set: these tests are not registered for them.)

namespace {
std::atomic<bool> g_no_memory{false};
}  // namespace

// The linker has this program and the library call these for malloc and aligned_alloc.
extern "C" void* __real_malloc(std::size_t size);
extern "C" void* __wrap_malloc(std::size_t size) {
  return g_no_memory.load() ? nullptr : __real_malloc(size);
}
extern "C" void* __real_aligned_alloc(std::size_t align, std::size_t size);
extern "C" void* __wrap_aligned_alloc(std::size_t align, std::size_t size) {
  return g_no_memory.load() ? nullptr : __real_aligned_alloc(align, size);
}

// Out of line: else gcc takes their halves for functions that do not match.
HAMGAM_NOINLINE void* operator new(std::size_t size, const std::nothrow_t& /*tag*/) noexcept {
  return std::malloc(size);
}
HAMGAM_NOINLINE void* operator new(std::size_t size, std::align_val_t align,
                                   const std::nothrow_t& /*tag*/) noexcept {
  auto const to = static_cast<std::size_t>(align);
  return std::aligned_alloc(to, (size + to - 1) / to * to);
}
HAMGAM_NOINLINE void operator delete(void* memory, std::align_val_t /*align*/) noexcept {
  std::free(memory);
}
HAMGAM_NOINLINE void operator delete(void* memory, std::size_t /*size*/,
                                     std::align_val_t /*align*/) noexcept {
  std::free(memory);
}
HAMGAM_NOINLINE void* operator new(std::size_t size) {
  if (void* memory = operator new(size, std::nothrow)) {
    return memory;
  }
  throw std::bad_alloc();
}
HAMGAM_NOINLINE void operator delete(void* memory) noexcept { std::free(memory); }
HAMGAM_NOINLINE void operator delete(void* memory, std::size_t /*size*/) noexcept {
  std::free(memory);
}

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

// One waits for a stack that is not to be had, so go throws. Timers and contexts, which cannot,
// start their goroutines all the same.
TEST(MisuseMemory, timers_fire_while_one_starves) {
  auto child = in_child([] {
    (void)run([] {
      WaitGroup fired;
      fired.add(3);
      Timer timer = after_func(100ms, [&] { fired.done(); });
      auto [timed, stop] = with_timeout(Context::background(), 100ms);
      auto after = after_func(timed, [&] { fired.done(); });
      auto [parent, cancel] = with_cancel(Context::background());
      auto also_after = after_func(parent, [&] { fired.done(); });
      sleep(1ms);  // what starts when it is needed does so before memory is short
      limit_memory(512UL << 20);
      go(GoOptions{.stack_size = 1U << 30}, [] {});
      for (bool starves = false; !starves;) {
        yield();
        try {
          go([] {});
        } catch (const std::bad_alloc&) {
          starves = true;
        }
      }
      cancel();
      fired.wait();
      std::_Exit(0);  // the big one never runs
    });
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

// There is not even a record for the goroutine: the timer tries again.
TEST(MisuseMemory, timers_try_again_without_a_record) {
  auto const body = [] {
    std::atomic<int> fired{0};
    Timer timer = after_func(300ms, [&] { ++fired; });
    Timer stopped = after_func(300ms, [&] { fired += 100; });
    auto [timed, stop] = with_timeout(Context::background(), 300ms);
    auto const done = timed.done();
    Mutex gate;
    gate.lock();
    WaitGroup all;
    sleep(1ms);  // as above
    g_no_memory.store(true);
    try {
      for (;;) {
        all.go([&] {
          gate.lock();
          gate.unlock();
        });
      }
    } catch (const std::bad_alloc&) {
    }
    sleep(400ms);  // past the timers' time
    bool const too_early = fired.load() != 0 || timed.err();
    bool const was_stopped = stopped.stop();
    gate.unlock();
    (void)done.recv();
    while (fired.load() == 0) {
      yield();
    }
    g_no_memory.store(false);
    all.wait();
    sleep(5ms);  // a second time would have come by now
    if (too_early || !was_stopped || fired.load() != 1) {
      std::_Exit(3);
    }
  };
  auto child = in_child([&] { (void)run(body); }, {"HAMGAM_PROCS=1"});
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

// The fault: who could not wait for its tokens, as there was no memory for a timer, lost them.
TEST(MisuseMemory, rate_limiter_gives_back) {
  auto const body = [] {
    RateLimiter limiter(1000, 1000);
    std::vector<Timer> others;
    auto const fails = [&](auto wait) {
      for (;;) {
        (void)limiter.allow(static_cast<int>(limiter.tokens()));
        g_no_memory.store(true);
        try {
          (void)wait();
          g_no_memory.store(false);
        } catch (const std::bad_alloc&) {
          double const left = limiter.tokens();
          g_no_memory.store(false);
          return left;
        }
        others.push_back(after_func(1h, [] {}));  // until there is no room for another
      }
    };
    constexpr int kMany = 100;
    double const waited = fails([&] {
      limiter.wait(kMany);
      return true;
    });
    double const timed = fails([&] { return limiter.wait_for(1h, kMany); });
    double const stoppable = fails([&] { return limiter.wait(std::stop_token(), kMany); });
    if (waited < -1 || timed < -1 || stoppable < -1) {
      std::fprintf(stderr, "%g %g %g\n", waited, timed, stoppable);
      std::_Exit(3);
    }
  };
  auto child = in_child([&] { (void)run(body); }, {"HAMGAM_PROCS=1"});
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
