// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Fibers as goroutines.
#include "../../harness/case.h"
#include "workers.h"

namespace {

constexpr std::int64_t kBatch = 1000;

const bench::Case spawn("Go/spawn", {1, 2}, [](int workers, std::int64_t n) {
  bench::in_fibers(workers, [n] {
    std::vector<boost::fibers::fiber> fibers;
    for (std::int64_t left = n; left > 0; left -= kBatch) {
      const std::int64_t count = std::min(left, kBatch);
      for (std::int64_t i = 0; i < count; ++i) fibers.push_back(bench::start([] {}));
      for (boost::fibers::fiber& f : fibers) f.join();
      fibers.clear();
    }
  });
});

const bench::Case spawn_one("Go/spawn_one", {1, 2}, [](int workers, std::int64_t n) {
  bench::in_fibers(workers, [n] {
    for (std::int64_t i = 0; i < n; ++i) bench::start([] {}).join();
  });
});

const bench::Case yield("Go/yield", {1, 2}, [](int workers, std::int64_t n) {
  bench::in_fibers(workers, [n] {
    bench::fibers_of(2, [n] {
      for (std::int64_t i = 0; i < n / 2; ++i) boost::this_fiber::yield();
    });
  });
});

}  // namespace
