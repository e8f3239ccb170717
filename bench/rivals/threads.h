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

struct Threads {
  template <class F>
  static void enter(int /*workers*/, const F& body) {
    body();
  }
  template <class F>
  static void in(int count, const F& body) {
    in_threads(count, body);
  }
};

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

}  // namespace bench
