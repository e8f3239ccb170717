// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include "../../harness/case.h"
#include "workers.h"

namespace {

// A round trip: each of two fibers hands the turn to the other.
const bench::Case pingpong("Cond/pingpong", {1, 2}, [](int workers, std::int64_t n) {
  bench::in_fibers(workers, [n] {
    boost::fibers::mutex mutex;
    boost::fibers::condition_variable_any cond;
    int turn = 0;
    std::atomic<int> next{0};
    bench::fibers_of(2, [&] {
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

}  // namespace
