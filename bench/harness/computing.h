// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include <cstdint>

namespace bench {

// Never ends, and never waits.
[[noreturn]] inline void compute() {
  std::uint64_t state = 1;
  for (;;) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    asm volatile("" : "+r"(state));
  }
}

}  // namespace bench
