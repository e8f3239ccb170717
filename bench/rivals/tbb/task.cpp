// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// TBB's tasks: they cannot wait for one another as goroutines do, but they can be started.
#include <oneapi/tbb/task_group.h>

#include "../../harness/case.h"
#include "workers.h"

namespace {

constexpr std::int64_t kBatch = 1000;

const bench::Case spawn("Go/spawn", {1, 2}, [](int workers, std::int64_t n) {
  bench::in_arena(workers, [n] {
    tbb::task_group all;
    for (std::int64_t left = n; left > 0; left -= kBatch) {
      const std::int64_t count = std::min(left, kBatch);
      for (std::int64_t i = 0; i < count; ++i) all.run([] {});
      all.wait();
    }
  });
});

const bench::Case spawn_one("Go/spawn_one", {1, 2}, [](int workers, std::int64_t n) {
  bench::in_arena(workers, [n] {
    tbb::task_group all;
    for (std::int64_t i = 0; i < n; ++i) {
      all.run([] {});
      all.wait();
    }
  });
});

}  // namespace
