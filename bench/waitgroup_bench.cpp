// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// WaitGroup with nobody else about.
#include <hamgam/waitgroup.h>

#include "goroutines.h"

namespace {

const bench::Case add_done("WaitGroup/add_done", {1}, [](int workers, std::int64_t n) {
  bench::on_workers(workers, [n] {
    hamgam::WaitGroup group;
    for (std::int64_t i = 0; i < n; ++i) {
      group.add(1);
      group.done();
    }
  });
});

const bench::Case wait("WaitGroup/wait", {1}, [](int workers, std::int64_t n) {
  bench::on_workers(workers, [n] {
    hamgam::WaitGroup group;
    for (std::int64_t i = 0; i < n; ++i) group.wait();
  });
});

}  // namespace
