// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Starting goroutines, waiting for them, and switching between two.
#include <hamgam/go.h>

#include "goroutines.h"

namespace {

constexpr std::int64_t kBatch = 1000;

const bench::Case spawn("Go/spawn", {1, 2}, [](int workers, std::int64_t n) {
  bench::on_workers(workers, [n] {
    hamgam::WaitGroup all;
    for (std::int64_t left = n; left > 0; left -= kBatch) {
      const std::int64_t count = std::min(left, kBatch);
      all.add(static_cast<int>(count));
      for (std::int64_t i = 0; i < count; ++i) hamgam::go([&all] { all.done(); });
      all.wait();
    }
  });
});

const bench::Case spawn_one("Go/spawn_one", {1, 2}, [](int workers, std::int64_t n) {
  bench::on_workers(workers, [n] {
    hamgam::WaitGroup all;
    for (std::int64_t i = 0; i < n; ++i) {
      all.add(1);
      hamgam::go([&all] { all.done(); });
      all.wait();
    }
  });
});

const bench::Case yield("Go/yield", {1, 2}, [](int workers, std::int64_t n) {
  bench::on_workers(workers, [n] {
    bench::in_goroutines(2, [n] {
      for (std::int64_t i = 0; i < n / 2; ++i) hamgam::yield();
    });
  });
});

}  // namespace
