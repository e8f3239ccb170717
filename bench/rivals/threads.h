// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// For rivals whose workers are threads.
#pragma once

#include <sched.h>

#include <thread>
#include <vector>

#include "../harness/case.h"

namespace bench {

// Runs `body` in that many threads at once and waits for them. Even one is a thread of its own:
// glibc's locks skip their atomic operations in a process that never started a thread.
template <class F>
void in_threads(int count, const F& body) {
  std::vector<std::thread> threads;
  threads.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) threads.emplace_back([&body] { body(); });
  for (std::thread& t : threads) t.join();
}

// Lets this thread, and those it starts, use the first `count` CPUs it may use now.
inline void use_cpus(int count) {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  cpu_set_t chosen;
  CPU_ZERO(&chosen);
  for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&chosen) < count; ++cpu) {
    if (CPU_ISSET(cpu, &allowed)) CPU_SET(cpu, &chosen);
  }
  sched_setaffinity(0, sizeof chosen, &chosen);
}

// The work of a mutex's cases; L is any type with lock() and unlock().
template <class L>
void lock_alone(int, std::int64_t n) {
  in_threads(1, [n] {
    L mutex;
    for (std::int64_t i = 0; i < n; ++i) {
      mutex.lock();
      mutex.unlock();
    }
  });
}

template <class L, int kThreadsPerWorker, bool kWork>
void contend(int workers, std::int64_t n) {
  // With one worker ten threads on one CPU, as ten goroutines on one worker.
  if (kThreadsPerWorker > 1) use_cpus(workers);
  L mutex;
  Share share(n);
  in_threads(workers * kThreadsPerWorker, [&] {
    std::uint64_t x = 1;
    while (const std::int64_t count = share.take()) {
      for (std::int64_t i = 0; i < count; ++i) {
        mutex.lock();
        mutex.unlock();
        if (kWork) x = local_work(x);
      }
    }
    keep(x);
  });
}

// A mutex's cases under the names that all share.
template <class L>
struct MutexCases {
  Case uncontended{"Mutex/uncontended", {1}, lock_alone<L>};
  Case contended{"Mutex/contended", {1, 2}, contend<L, 1, false>};
  Case slack{"Mutex/slack", {1, 2}, contend<L, 10, false>};
  Case work{"Mutex/work", {1, 2}, contend<L, 1, true>};
};

}  // namespace bench
