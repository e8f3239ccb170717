// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "os/spin_lock.h"

#include <algorithm>

#include "os/fork.h"
#include "os/thread.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {
constexpr int kSpins = 64;
constexpr int kYields = 64;
constexpr int kHopeless = 1000;         // some 50 milliseconds
constexpr int kLost = 100 * kHopeless;  // some 10 seconds
constexpr int kFirstPause = 32;
constexpr int kLastPause = 256;  // about a microsecond
constexpr int kBackingOffRounds = 16;

// Its holder may be a thread that did not come along into the child of a fork. So it is if there is
// no other at all; or none that runs goroutines, who are the ones that hold these. Else it is one
// of the child's own, which has had time enough.
bool is_lost(int round) noexcept {
  if (round == 0 || round % kHopeless != 0 || !was_forked()) {
    return false;
  }
  return is_forked_child() || round >= kLost || count_threads() == 1;
}
}  // namespace

void wait_for_holder(int round) noexcept {
  if (round < kYields) {
    yield_thread();
    return;
  }
  if (HAMGAM_UNLIKELY(is_lost(round))) {
    refuse_in_child();
  }
  nap_thread();
}

HAMGAM_NOINLINE void SpinLock::lock_slow() noexcept {
  for (int round = 0;; ++round) {
    for (int i = 0; i < kSpins; ++i) {
      if (try_lock()) {
        return;
      }
      spin_pause();
    }
    wait_for_holder(round);
  }
}

bool SpinLock::try_lock_patiently() noexcept {
  static constinit atomic<const SpinLock*> hopeless{nullptr};
  // relaxed throughout: it guards nothing
  int const rounds = hopeless.load(kRelaxed) == this ? 1 : kHopeless;
  for (int round = 0; round < rounds; ++round) {
    if (try_lock()) {
      if (rounds == 1) {
        hopeless.store(nullptr, kRelaxed);  // its holder only was slow
      }
      return true;
    }
    if (rounds != 1) {
      nap_thread();
    }
  }
  hopeless.store(this, kRelaxed);
  return false;
}

HAMGAM_NOINLINE void SpinLock::lock_backing_off_slow() noexcept {
  int pauses = kFirstPause;
  for (int round = 0; round < kBackingOffRounds; ++round) {
    for (int i = 0; i < pauses; ++i) {
      spin_pause();
    }
    if (try_lock()) {
      return;
    }
    pauses = std::min(2 * pauses, kLastPause);
  }
  lock_slow();
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
