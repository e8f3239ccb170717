// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// How much a test does: less where each step costs more.

#include <cstdlib>

namespace hamgam::test {

// The test runs on a CPU that a program imitates.
inline bool emulated() { return std::getenv("HAMGAM_TEST_EMULATOR") != nullptr; }

inline constexpr bool kSanitized =
#if defined(HAMGAM_TSAN) || defined(HAMGAM_ASAN)
    true;
#else
    false;
#endif

// Each step costs several times what it costs users.
inline bool slow() { return kSanitized || emulated(); }

// n steps in a plain build, fewer under a sanitizer or an emulator, at least 1.
inline int scaled(int n) {
#if defined(HAMGAM_TSAN)
  int const divisor = HAMGAM_TSAN == 2 ? 40 : 20;  // 2: the library is instrumented, too
#elif defined(HAMGAM_ASAN)
  int const divisor = 4;
#else
  int const divisor = emulated() ? 20 : 1;
#endif
  return n / divisor > 0 ? n / divisor : 1;
}

// The same for goroutines to start, each of which is a thread to ThreadSanitizer, and a stack to be
// scanned for pointers to AddressSanitizer's search for leaks.
inline int scaled_spawns(int n) {
#if defined(HAMGAM_TSAN)
  return n / 250 > 0 ? n / 250 : 1;
#elif defined(HAMGAM_ASAN)
  return n / 50 > 0 ? n / 50 : 1;
#else
  return scaled(n);
#endif
}

}  // namespace hamgam::test
