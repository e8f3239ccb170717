// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include <cstdint>

#include "hamgam/detail/atomic.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// For who waits for a lock that is held for some instructions: lets the holder run. `round`: how
// often that was called before. Fatal where the holder is lost, as in the child of a fork.
void wait_for_holder(int round) noexcept;

// The lock under the scheduler and the parking lot, held for some tens of instructions.
// A spin lock because its unlock is a plain store; a waiter that spins in vain gives up its time
// slice, then sleeps, so that a holder that was preempted gets to run. The thread that unlocks need
// not be the one that locked: after-switch actions rely on it.
class SpinLock {
 public:
  constexpr SpinLock() noexcept = default;
  SpinLock(const SpinLock&) = delete;
  SpinLock& operator=(const SpinLock&) = delete;

  void lock() noexcept {
    // [spin.1] acquire, pairs with [spin.2]
    if (HAMGAM_UNLIKELY(word_.exchange(1, kAcquire) != 0)) {
      lock_slow();
    }
  }

  // The same, for a lock that its holders take again at once: whoever finds it taken stays away
  // from its cache line for longer and longer, while the other core gets on with many short
  // sections.
  void lock_backing_off() noexcept {
    // [spin.4] acquire, pairs with [spin.2]
    if (HAMGAM_UNLIKELY(word_.exchange(1, kAcquire) != 0)) {
      lock_backing_off_slow();
    }
  }

  [[nodiscard]] bool try_lock() noexcept {
    return word_.load(kRelaxed) == 0 &&       // relaxed: only a hint
           word_.exchange(1, kAcquire) == 0;  // [spin.3] acquire, pairs with [spin.2]
  }

  // For the report of a fault: the holder may be the very thread that the signal has interrupted.
  // So it waits for some 50 milliseconds, and if in vain, not again for this lock until it was
  // free.
  [[nodiscard]] bool try_lock_patiently() noexcept;

  void unlock() noexcept {
    word_.store(0, kRelease);  // [spin.2] release, pairs with [spin.1]: publishes the section
  }

 private:
  void lock_slow() noexcept;
  void lock_backing_off_slow() noexcept;

  atomic<std::uint32_t> word_{0};
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
