// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Timers that are stopped before they fire, as those of time-outs are, and timers that fire.
#include <hamgam/time.h>

#include <chrono>

#include "goroutines.h"

namespace {

using namespace std::chrono_literals;

const bench::Case create_stop("Timer/create_stop", {1, 2}, [](int workers, std::int64_t n) {
  bench::on_workers(workers, [workers, n] {
    bench::Share share(n);
    bench::in_goroutines(workers, [&share] {
      for (auto count = share.take(); count > 0; count = share.take()) {
        for (std::int64_t i = 0; i < count; ++i) (void)hamgam::Timer(1h).stop();
      }
    });
  });
});

const bench::Case after("Timer/after", {1, 2}, [](int workers, std::int64_t n) {
  bench::on_workers(workers, [workers, n] {
    bench::Share share(n);
    bench::in_goroutines(workers, [&share] {
      for (auto count = share.take(); count > 0; count = share.take()) {
        for (std::int64_t i = 0; i < count; ++i) (void)hamgam::after(1ns).recv();
      }
    });
  });
});

}  // namespace
