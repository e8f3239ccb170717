// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Goroutines of an ErrGroup, a batch at a time.
#include <hamgam/errgroup.h>

#include "goroutines.h"

namespace {

constexpr std::int64_t kBatch = 1000;

const bench::Case go("ErrGroup/go", {1, 2}, [](int workers, std::int64_t n) {
  bench::on_workers(workers, [n] {
    for (std::int64_t left = n; left > 0; left -= kBatch) {
      const std::int64_t count = std::min(left, kBatch);
      hamgam::ErrGroup group;
      for (std::int64_t i = 0; i < count; ++i) group.go([] {});
      group.wait();
    }
  });
});

}  // namespace
