// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// The operations whose instructions are counted: ops NAME does one of them again and again, so many
// times between two traps, for bench/instructions/count, which is to run it. --list, --compiler.
#include <hamgam/hamgam.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <shared_mutex>
#include <string_view>

#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

#include "steps.h"

namespace {

using namespace hamgam;
using namespace std::chrono_literals;

constexpr int kWarmUp = 2000;  // until memory and tables have their size

void trap() {
#ifdef __x86_64__
  asm volatile("int3" ::: "memory");
#endif
}

template <class F>
[[gnu::noinline]] void step(F& op) {
  for (int i = 0; i < kOpsPerStep; ++i) {
    asm volatile("" ::: "memory");
    op();
  }
}

template <class F>
void count(F op) {
  for (int i = 0; i < kWarmUp; ++i) op();
  for (int i = 0; i < kSteps; ++i) {
    trap();
    step(op);
  }
  trap();
  std::_Exit(0);  // what is left waits for ever
}

struct Operation {
  const char* name;
  void (*run)();
};

const ContextKey<int> key;

const Operation kOperations[] = {
    {"nothing", [] { count([] {}); }},
    {"Atomic/load",
     [] {
       Atomic<int> a;
       count([&] { (void)a.load(); });
     }},
    {"Atomic/store",
     [] {
       Atomic<int> a;
       count([&] { a.store(1); });
     }},
    {"Atomic/add",
     [] {
       Atomic<int> a;
       count([&] { a.add(1); });
     }},
    {"Mutex/lock",
     [] {
       Mutex m;
       count([&] { std::lock_guard const lock(m); });
     }},
    {"Mutex/try_lock",
     [] {
       Mutex m;
       count([&] {
         if (m.try_lock()) m.unlock();
       });
     }},
    {"RWMutex/read",
     [] {
       RWMutex m;
       count([&] { std::shared_lock const lock(m); });
     }},
    {"RWMutex/write",
     [] {
       RWMutex m;
       count([&] { std::lock_guard const lock(m); });
     }},
    {"WaitGroup/add_done",
     [] {
       WaitGroup group;
       count([&] {
         group.add(1);
         group.done();
       });
     }},
    {"WaitGroup/wait",
     [] {
       WaitGroup group;
       count([&] { group.wait(); });
     }},
    {"Once/done",
     [] {
       Once once;
       count([&] { once.call([] {}); });
     }},
    {"once_value/done",
     [] {
       auto value = once_value([] { return 1; });
       count([&] { (void)value(); });
     }},
    {"Semaphore/acquire_release",
     [] {
       Semaphore semaphore(1);
       count([&] {
         semaphore.acquire();
         semaphore.release();
       });
     }},
    {"Cond/notify_nobody",
     [] {
       Cond cond;
       count([&] { cond.notify_one(); });
     }},
    {"Cond/pingpong",
     [] {
       Mutex mutex;
       Cond cond;
       bool mine = true;
       go([&] {
         std::unique_lock lock(mutex);
         for (;;) {
           cond.wait(lock, [&] { return !mine; });
           mine = true;
           cond.notify_one();
         }
       });
       std::unique_lock lock(mutex);
       count([&] {
         mine = false;
         cond.notify_one();
         cond.wait(lock, [&] { return mine; });
       });
     }},
    {"Chan/buffered",
     [] {
       auto chan = make_chan<int>(1);
       count([&] {
         chan.send(1);
         (void)chan.recv();
       });
     }},
    {"Chan/pingpong",
     [] {
       auto there = make_chan<int>();
       auto back = make_chan<int>();
       go([there, back] {
         while (auto value = there.recv()) back.send(*value);
       });
       count([&] {
         there.send(1);
         (void)back.recv();
       });
     }},
    {"Chan/make_close", [] { count([] { make_chan<int>(1).close(); }); }},
    {"Chan/recv_closed",
     [] {
       auto chan = make_chan<int>();
       chan.close();
       count([&] { (void)chan.recv(); });
     }},
    {"Select/two_ready",
     [] {
       auto a = make_chan<int>(1);
       auto b = make_chan<int>(1);
       a.send(1);
       b.send(1);
       count([&] {
         if (select(on_recv(a), on_recv(b)) == 0) {
           a.send(1);
         } else {
           b.send(1);
         }
       });
     }},
    {"Select/default",
     [] {
       auto a = make_chan<int>();
       auto b = make_chan<int>();
       count([&] { select(on_recv(a), on_recv(b), otherwise()); });
     }},
    {"Go/yield",
     [] {
       go([] {
         for (;;) yield();
       });
       count([] { yield(); });
     }},
    {"Go/spawn_one",
     [] {
       count([] {
         WaitGroup group;
         group.go([] {});
         group.wait();
       });
     }},
    {"Go/spawn_ten",
     [] {
       count([] {
         WaitGroup group;
         for (int i = 0; i < 10; ++i) group.go([] {});
         group.wait();
       });
     }},
    {"Task/get", [] { count([] { (void)spawn([] { return 1; }).get(); }); }},
    {"ErrGroup/go",
     [] {
       count([] {
         ErrGroup group;
         group.go([] {});
         group.wait();
       });
     }},
    {"SingleFlight/alone",
     [] {
       SingleFlight<int, int> flights;
       count([&] { (void)flights.call(1, [] { return 1; }); });
     }},
    {"Pool/get_put",
     [] {
       Pool<int> pool;
       count([&] { (void)pool.get(); });
     }},
    {"ResourcePool/acquire",
     [] {
       ResourcePool<int> pool([] { return 1; });
       count([&] { (void)pool.acquire(); });
     }},
    {"RateLimiter/allow",
     [] {
       RateLimiter limiter(1e9, 1'000'000);
       count([&] { (void)limiter.allow(); });
     }},
    {"Map/load",
     [] {
       Map<int, int> map;
       map.store(1, 1);
       count([&] { (void)map.load(1); });
     }},
    {"Map/store",
     [] {
       Map<int, int> map;
       count([&] { map.store(1, 2); });
     }},
    {"Map/store_erase",
     [] {
       Map<int, int> map;
       count([&] {
         map.store(1, 1);
         (void)map.erase(1);
       });
     }},
    {"Context/value",
     [] {
       auto const context = with_cancel(with_value(Context::background(), key, 1)).ctx;
       count([&] {
         const int* value = context.value(key);
         asm volatile("" : "+r"(value));
       });
     }},
    {"Context/with_cancel",
     [] {
       auto const parent = with_cancel(Context::background());
       count([&] { with_cancel(parent.ctx).cancel(); });
     }},
    {"Context/with_timeout",
     [] {
       auto const parent = with_cancel(Context::background());
       count([&] { with_timeout(parent.ctx, 1h).cancel(); });
     }},
    {"Timer/create_stop", [] { count([] { (void)Timer(1h).stop(); }); }},
    {"Timer/reset",
     [] {
       Timer timer(1h);
       count([&] { (void)timer.reset(1h); });
     }},
    {"Timer/after", [] { count([] { (void)after(1ns).recv(); }); }},
};

void print_compiler() {
#if defined(__clang__)
  std::printf("clang %d", __clang_major__);
#else
  std::printf("gcc %d", __GNUC__);
#endif
#ifdef __GLIBC__
  std::printf(", glibc %s", gnu_get_libc_version());
#endif
  std::puts("");
}

}  // namespace

int main(int argc, char** argv) {
  std::string_view const name = argc == 2 ? argv[1] : "";
  if (name == "--compiler") {
    print_compiler();
    return 0;
  }
  for (Operation const& operation : kOperations) {
    if (name == "--list") std::puts(operation.name);
    if (name == operation.name) return hamgam::run(operation.run);
  }
  if (name == "--list") return 0;
  std::fprintf(stderr, "usage: %s NAME | --list | --compiler\n", argv[0]);
  return 2;
}
