// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "hamgam/hamgam.h"
#include "hamgam/net.h"
#include "hamgam/observe.h"
#include "support/asleep.h"
#include "support/child.h"
#include "support/scale.h"

// The program's operator new and operator delete take a hamgam::Mutex. Whoever meets it held waits
// there: so the library may not ask for memory where it must not wait, for there it waits on.

namespace {

hamgam::Mutex g_memory;
std::atomic<bool> g_locked{false};
std::atomic<int> g_waiting{0};
std::atomic<int> g_inside{0};
std::atomic<bool> g_broken{false};  // two were inside

template <class F>
auto under_the_lock(F f) {
  if (!g_locked) {
    return f();
  }
  ++g_waiting;
  std::lock_guard const guard(g_memory);
  --g_waiting;
  struct Inside {
    Inside() { g_broken = g_inside.fetch_add(1) != 0 || g_broken; }
    ~Inside() { --g_inside; }
  } const inside;
  return f();
}

void* take(std::size_t size) {
  return under_the_lock([size] { return std::malloc(size); });
}

void* take(std::size_t size, std::align_val_t alignment) {
  auto const a = static_cast<std::size_t>(alignment);
  return under_the_lock([=] { return std::aligned_alloc(a, (size + a - 1) / a * a); });
}

void give(void* memory) {
  under_the_lock([memory] { std::free(memory); });
}

}  // namespace

using Alignment = std::align_val_t;
using NoThrow = std::nothrow_t;
#define HAMGAM_TEST_OUTSIDE __attribute__((noinline))
HAMGAM_TEST_OUTSIDE void* operator new(std::size_t size) { return take(size); }
HAMGAM_TEST_OUTSIDE void* operator new(std::size_t size, Alignment a) { return take(size, a); }
HAMGAM_TEST_OUTSIDE void* operator new(std::size_t size, const NoThrow&) noexcept {
  return take(size);
}
HAMGAM_TEST_OUTSIDE void* operator new(std::size_t size, Alignment a, const NoThrow&) noexcept {
  return take(size, a);
}
HAMGAM_TEST_OUTSIDE void operator delete(void* memory) noexcept { give(memory); }
HAMGAM_TEST_OUTSIDE void operator delete(void* memory, std::size_t) noexcept { give(memory); }
HAMGAM_TEST_OUTSIDE void operator delete(void* memory, Alignment) noexcept { give(memory); }
HAMGAM_TEST_OUTSIDE void operator delete(void* memory, std::size_t, Alignment) noexcept {
  give(memory);
}

namespace hamgam {
namespace {

using namespace std::chrono_literals;
using test::in_child;

// While one lives nobody gets memory: who asks waits, in these tests for ever.
class NoMemory {
 public:
  NoMemory() {
    g_memory.lock();
    g_locked = true;
  }
  ~NoMemory() {
    g_locked = false;
    g_memory.unlock();
  }
  NoMemory(const NoMemory&) = delete;
  NoMemory& operator=(const NoMemory&) = delete;
};

template <class C>
void until(C condition) {
  while (!condition()) {
    std::this_thread::yield();
  }
}

// They spin before they sleep.
void await_asleep(int count) {
  until([=] { return test::count_asleep(&g_memory) >= count; });
}

// Whoever has what is not his shows it then. On a busy machine a yield takes as long as others have
// to do.
void let_others_run() {
  auto const end = std::chrono::steady_clock::now() + 200ms;
  for (int i = 0; i < 5'000 && std::chrono::steady_clock::now() < end; ++i) {
    std::this_thread::yield();
  }
}

// The first goroutines of a process, whose worker, records and stacks are made; and run() sleeps on
// the thread's record, which is.
TEST(OperatorNew, a_run_starts_while_another_has_the_lock) {
  auto child = in_child([] {
    std::atomic<bool> ran{false};
    {
      NoMemory const none;
      run([&ran] {
        yield();
        ran = true;
      });
    }
    std::_Exit(ran ? 0 : 1);
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

// The thread that was to come was counted as one that searches. Who started it waited for memory,
// was woken, and its waker started nobody, since one searched.
TEST(OperatorNew, workers_start_while_another_has_the_lock) {
  auto child = in_child([] {
    constexpr int kWorkers = 6;
    max_procs(kWorkers);
    run([] {
      std::atomic<int> there{0};
      std::atomic<int> over{0};
      NoMemory const none;
      for (int i = 0; i < kWorkers - 1; ++i) {
        go([&] {
          ++there;
          until([&] { return there == kWorkers - 1; });
          ++over;
        });
      }
      until([&] { return over == kWorkers - 1; });
    });
    std::_Exit(0);
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

// Those that take over while others block.
TEST(OperatorNew, many_block_while_another_has_the_lock) {
  auto child = in_child([] {
    run([] {
      constexpr int kMany = 20;
      std::atomic<int> inside{0};
      WaitGroup all;
      all.add(kMany);
      NoMemory const none;
      for (int i = 0; i < kMany; ++i) {
        go([&] {
          blocking([&] {
            ++inside;
            until([&] { return inside == kMany; });
          });
          all.done();
        });
      }
      all.wait();
    });
    std::_Exit(0);
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

// Records and stacks came from operator new under a SpinLock; full queues go to the global one.
TEST(OperatorNew, many_goroutines_park_while_another_has_the_lock) {
  auto child = in_child([] {
    run([] {
      int const many = test::scaled_spawns(3000);
      std::atomic<int> there{0};
      auto const door = make_chan<int>();
      WaitGroup all;
      all.add(many);
      NoMemory const none;
      for (int i = 0; i < many; ++i) {
        go([&] {
          ++there;
          (void)door.recv();
          all.done();
        });
      }
      while (there != many) {
        yield();
      }
      door.close();
      all.wait();
    });
    std::_Exit(0);
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

// The heap of timers grew under its SpinLock.
TEST(OperatorNew, many_sleep_while_another_has_the_lock) {
  auto child = in_child([] {
    run([] {
      constexpr int kMany = 500;
      WaitGroup all;
      all.add(kMany);
      NoMemory const none;
      for (int i = 0; i < kMany; ++i) {
        go([&] {
          sleep(5ms);
          all.done();
        });
      }
      all.wait();
    });
    std::_Exit(0);
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

// The record of a descriptor came from operator new under a SpinLock.
TEST(OperatorNew, a_socket_is_waited_for_while_another_has_the_lock) {
  auto child = in_child([] {
    run([] {
      int ends[2];
      if (pipe(ends) != 0) {
        std::_Exit(2);
      }
      std::atomic<bool> readable{false};
      NoMemory const none;
      go([&] {
        (void)net::wait_readable(ends[0]);
        readable = true;
      });
      yield();
      (void)!write(ends[1], "", 1);
      while (!readable) {
        yield();
      }
    });
    std::_Exit(0);
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

// Its record was the program's memory, so that a thread's first wait for the lock waited for it.
TEST(OperatorNew, threads_wait_for_the_lock_first) {
  auto child = in_child([] {
    std::vector<std::thread> threads(4);
    g_memory.lock();
    for (std::thread& thread : threads) {
      thread = std::thread([] {
        until([] { return g_locked.load(); });
        std::unique_ptr<int> const one(new int(1));
        asm volatile("" : : "r"(one.get()) : "memory");  // or the compiler would leave both out
      });
    }
    g_locked = true;
    until([&] { return g_waiting == static_cast<int>(threads.size()); });
    await_asleep(static_cast<int>(threads.size()));
    g_memory.unlock();
    for (std::thread& thread : threads) {
      thread.join();
    }
    std::_Exit(g_broken ? 1 : 0);
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

// What a worker keeps for itself. Who waited for it was another worker's then.
TEST(OperatorNew, readers_and_pools_while_another_has_the_lock) {
  auto child = in_child([] {
    run([] {
      RWMutex mutex;
      Pool<int> pool;
      auto object = pool.take();
      std::atomic<bool> over{false};
      NoMemory const none;
      go([&] {
        mutex.lock_shared();
        mutex.unlock_shared();
        pool.put(std::move(object));
        object = pool.take();
        over = true;
      });
      while (!over) {
        yield();
      }
    });
    std::_Exit(0);
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

// A goroutine that has ended is buried by the next one, whose stack is not to wait.
TEST(OperatorNew, a_long_name_goes_while_another_has_the_lock) {
  auto child = in_child([] {
    run([] {
      auto const door = make_chan<int>();
      WaitGroup all;
      all.add(1);
      go(GoOptions{.name = std::string(100, 'n')}, [&] {
        (void)door.recv();
        all.done();
      });
      yield();
      NoMemory const none;
      door.close();
      all.wait();
      for (int i = 0; i < 100; ++i) {
        yield();
      }
    });
    std::_Exit(0);
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

// An operator new that throws does so under its own lock. Where it was thrown is noted meanwhile.
TEST(OperatorNew, it_throws_under_its_lock) {
  auto child = in_child([] {
    bool caught = false;
    try {
      run([] {
        NoMemory const none;
        throw std::bad_alloc();
      });
    } catch (const std::bad_alloc&) {
      caught = true;
    }
    std::_Exit(caught ? 0 : 1);
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

// The signal woke its thread from whatever that slept on: so it had the lock though another one
// did, and was in a queue of those that wait on when it had gone.
TEST(OperatorNew, a_quit_while_the_last_one_is_printed) {
  auto child = in_child([] {
    observe::install_signal_handler();
    run([] {
      go([] { sleep(std::chrono::hours(1)); });
      yield();
      blocking([] {
        for (int i = 0; i < 5; ++i) {
          g_memory.lock();
          ++g_inside;
          g_locked = true;
          std::raise(SIGQUIT);
          until([] { return g_waiting > 0; });
          await_asleep(1);
          std::raise(SIGQUIT);
          let_others_run();
          --g_inside;
          g_memory.unlock();
          until([] { return g_waiting == 0; });
          g_locked = false;
        }
      });
    });
    std::_Exit(g_broken ? 1 : 0);
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
  EXPECT_TRUE(child.begins("SIGQUIT: quit\n")) << child.error;
}

struct Pair {
  Mutex first;
  Mutex second;
};

std::atomic<int> g_number{0};

// Each is a place of its own: a report of the same place comes once.
template <int N>
[[gnu::noinline]] void invert(Pair& pair) {
  g_number = N;
  std::lock_guard const outer(pair.second);
  std::lock_guard const inner(pair.first);
}

// The same of the thread that writes reports, here of orders of locks.
TEST(OperatorNew, a_report_while_the_last_one_is_written) {
  auto child = in_child([] {
    static Pair pairs[6];
    static constexpr void (*kInverts[])(Pair&) = {&invert<0>, &invert<1>, &invert<2>,
                                                  &invert<3>, &invert<4>, &invert<5>};
    observe::watch_locks();
    run([] {
      for (Pair& pair : pairs) {
        std::lock_guard const outer(pair.first);
        std::lock_guard const inner(pair.second);
      }
      blocking([&] {
        for (int i = 0; i < 6; i += 2) {
          g_memory.lock();
          ++g_inside;
          g_locked = true;
          kInverts[i](pairs[i]);
          until([] { return g_waiting > 0; });
          await_asleep(1);
          kInverts[i + 1](pairs[i + 1]);
          let_others_run();
          --g_inside;
          g_memory.unlock();
          until([] { return g_waiting == 0; });
          g_locked = false;
        }
      });
    });
    std::_Exit(!g_broken && observe::lock_reports() == std::size(pairs) ? 0 : 1);
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
  EXPECT_TRUE(child.says("hamgam: locks could deadlock")) << child.error;
}

}  // namespace
}  // namespace hamgam
