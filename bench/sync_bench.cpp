// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Cond, Once and Semaphore.
#include <hamgam/cond.h>
#include <hamgam/mutex.h>
#include <hamgam/once.h>
#include <hamgam/semaphore.h>

#include <atomic>

#include "goroutines.h"

namespace {

// A round trip: each of two goroutines hands the turn to the other.
const bench::Case pingpong("Cond/pingpong", {1, 2}, [](int workers, std::int64_t n) {
  bench::on_workers(workers, [n] {
    hamgam::Mutex mutex;
    hamgam::Cond cond;
    int turn = 0;
    std::atomic<int> next{0};
    bench::in_goroutines(2, [&] {
      const int me = next.fetch_add(1);
      for (std::int64_t i = 0; i < n; ++i) {
        mutex.lock();
        while (turn != me) cond.wait(mutex);
        turn = 1 - me;
        cond.notify_one();
        mutex.unlock();
      }
    });
  });
});

const bench::Case done("Once/done", {1}, [](int workers, std::int64_t n) {
  bench::on_workers(workers, [n] {
    hamgam::Once once;
    once.call([] {});
    for (std::int64_t i = 0; i < n; ++i) once.call([] {});
  });
});

const bench::Case uncontended("Semaphore/uncontended", {1}, [](int workers, std::int64_t n) {
  bench::on_workers(workers, [n] {
    hamgam::Semaphore semaphore(1);
    for (std::int64_t i = 0; i < n; ++i) {
      semaphore.acquire();
      semaphore.release();
    }
  });
});

}  // namespace
