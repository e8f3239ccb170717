// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include <oneapi/tbb/task_group.h>

#include <array>
#include <cstdlib>
#include <numeric>

#include "../../harness/case.h"
#include "workers.h"

namespace {

constexpr std::int64_t kLeaves = 1'000'000;

// The sum of `size` leaves, the first of which is `number`: ten parts, each a task that does the
// same. Results come back by reference: tasks have no channels.
void skynet(std::int64_t& result, std::int64_t number, std::int64_t size) {
  if (size == 1) {
    result = number;
    return;
  }
  std::array<std::int64_t, 10> parts{};
  tbb::task_group group;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::int64_t first = number + static_cast<std::int64_t>(i) * (size / 10);
    group.run([&part = parts[i], first, size] { skynet(part, first, size / 10); });
  }
  group.wait();
  result = std::accumulate(parts.begin(), parts.end(), std::int64_t{0});
}

const bench::Case leaves("Skynet", "ms", {1, 2}, [](int workers, std::int64_t n) {
  bench::in_arena(workers, [n] {
    for (std::int64_t i = 0; i < n; ++i) {
      std::int64_t sum = 0;
      skynet(sum, 0, kLeaves);
      if (sum != kLeaves / 2 * (kLeaves - 1)) std::abort();
    }
  });
});

}  // namespace
