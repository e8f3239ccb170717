// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "../../harness/fairness.h"

#include <mutex>
#include <semaphore>
#include <shared_mutex>

#include "../threads.h"

namespace {

struct Std {
  using Mutex = std::mutex;
  using RWMutex = std::shared_mutex;
  using Semaphore = std::counting_semaphore<>;

  template <class F>
  static void in_tasks(int workers, int tasks, const F& f) {
    bench::use_cpus(workers);
    std::atomic<int> next{0};
    bench::in_threads(tasks, [&] { f(next.fetch_add(1)); });
  }
  static void yield() { std::this_thread::yield(); }
};

}  // namespace

int main(int argc, char** argv) { return bench::fairness_main<Std>(argc, argv); }
