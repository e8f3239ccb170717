// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "os/spin_lock.h"

#include "os/thread.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {
constexpr int kSpins = 64;
constexpr int kYields = 64;
}  // namespace

HAMGAM_NOINLINE void SpinLock::lock_slow() noexcept {
  for (int round = 0;; ++round) {
    for (int i = 0; i < kSpins; ++i) {
      if (try_lock()) {
        return;
      }
      spin_pause();
    }
    if (round < kYields) {
      yield_thread();
    } else {
      nap_thread();
    }
  }
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
