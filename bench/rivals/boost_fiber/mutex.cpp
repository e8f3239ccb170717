// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include "../../harness/case.h"
#include "workers.h"

namespace {

void contend(int workers, int fibers_per_worker, std::int64_t n, bool work) {
  bench::in_fibers(workers, [=] {
    boost::fibers::mutex mutex;
    bench::Share share(n);
    bench::fibers_of(workers * fibers_per_worker, [&] {
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
  bench::in_fibers(workers, [n] {
    boost::fibers::mutex mutex;
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
