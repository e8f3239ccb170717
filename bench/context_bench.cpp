// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Contexts that are derived and cancelled.
#include <hamgam/context.h>

#include <chrono>

#include "goroutines.h"

namespace {

using namespace std::chrono_literals;
using hamgam::Context;

const bench::Case with_cancel("Context/with_cancel", {1}, [](int workers, std::int64_t n) {
  bench::on_workers(workers, [n] {
    for (std::int64_t i = 0; i < n; ++i) {
      auto [ctx, cancel] = hamgam::with_cancel(Context::background());
      cancel();
    }
  });
});

const bench::Case with_timeout("Context/with_timeout", {1}, [](int workers, std::int64_t n) {
  bench::on_workers(workers, [n] {
    for (std::int64_t i = 0; i < n; ++i) {
      auto [ctx, cancel] = hamgam::with_timeout(Context::background(), 1h);
      cancel();
    }
  });
});

}  // namespace
