// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// nsync_counter is nsync's WaitGroup.
#include <nsync.h>

#include "../threads.h"

namespace {

// One that has reached zero may not rise again: it starts at 1.
const bench::Case add_done("WaitGroup/add_done", {1}, [](int, std::int64_t n) {
  bench::in_threads(1, [n] {
    nsync::nsync_counter group = nsync::nsync_counter_new(1);
    for (std::int64_t i = 0; i < n; ++i) {
      nsync::nsync_counter_add(group, 1);
      nsync::nsync_counter_add(group, -1);
    }
    nsync::nsync_counter_add(group, -1);
    nsync::nsync_counter_free(group);
  });
});

const bench::Case wait("WaitGroup/wait", {1}, [](int, std::int64_t n) {
  bench::in_threads(1, [n] {
    nsync::nsync_counter group = nsync::nsync_counter_new(0);
    for (std::int64_t i = 0; i < n; ++i) {
      nsync::nsync_counter_wait(group, nsync::nsync_time_no_deadline);
    }
    nsync::nsync_counter_free(group);
  });
});

}  // namespace
