// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#pragma once

#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>

namespace bench {

// Runs `body` in an arena of that many workers, this thread among them.
template <class F>
void in_arena(int workers, const F& body) {
  const tbb::global_control limit(tbb::global_control::max_allowed_parallelism,
                                  static_cast<std::size_t>(workers));
  tbb::task_arena arena(workers);
  arena.execute([&body] { body(); });
}

}  // namespace bench
