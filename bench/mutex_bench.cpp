// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Mutex: alone, and `workers` goroutines (ten times as many: slack) on one lock.
#include <hamgam/mutex.h>

#include "goroutines.h"

namespace {

void contend(int workers, int goroutines_per_worker, std::int64_t n, bool work) {
  bench::on_workers(workers, [=] {
    hamgam::Mutex mutex;
    bench::Share share(n);
    bench::in_goroutines(workers * goroutines_per_worker, [&] {
      std::uint64_t x = 1;
      while (const std::int64_t count = share.take()) {
        for (std::int64_t i = 0; i < count; ++i) {
          mutex.lock();
          mutex.unlock();
          if (work) x = bench::local_work(x);
        }
      }
      bench::keep(x);
    });
  });
}

const bench::Case uncontended("Mutex/uncontended", {1}, [](int workers, std::int64_t n) {
  bench::on_workers(workers, [n] {
    hamgam::Mutex mutex;
    for (std::int64_t i = 0; i < n; ++i) {
      mutex.lock();
      mutex.unlock();
    }
  });
});

const bench::Case contended("Mutex/contended", {1, 2},
                            [](int workers, std::int64_t n) { contend(workers, 1, n, false); });

const bench::Case slack("Mutex/slack", {1, 2},
                        [](int workers, std::int64_t n) { contend(workers, 10, n, false); });

const bench::Case work("Mutex/work", {1, 2},
                       [](int workers, std::int64_t n) { contend(workers, 1, n, true); });

}  // namespace
