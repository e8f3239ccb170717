// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "chan/selection.h"

#include "wait/wait_profile.h"

namespace hamgam::inline HAMGAM_ABI::detail {

bool Selection::interrupt(Sleeper& sleeper, Wake how) noexcept {
  auto& me = static_cast<Selection&>(sleeper);
  std::uint32_t const mine = how == Wake::kStopped ? kStopped : kTimedOut;
  std::uint32_t word = me.word_.load(kRelaxed);  // relaxed: the CAS checks it
  while (word <= kParked) {
    // [select.5] acquire, pairs with [select.1]: it is off its stack
    if (me.word_.compare_exchange_weak(word, mine, kAcqRel, kRelaxed)) {
      return word == kParked;
    }
  }
  return false;
}

// False: it was claimed or interrupted before.
bool Selection::enter_park() noexcept {
  std::uint32_t word = kSetup;
  // [select.1] release, pairs with [select.2] and [select.5]: whoever wakes it finds it off its
  // stack
  return word_.compare_exchange_strong(word, kParked, kAcqRel, kRelaxed);
}

void Selection::sleep(const char* reason) noexcept {
  if (is_claimed()) {
    early_ = true;
    return;
  }
  ProfiledWait::in(reason, [&]() noexcept { sleep_unclaimed(reason); });
}

void Selection::sleep_unclaimed(const char* reason) noexcept {
  if (goroutine == nullptr) {
    thread->begin_sleep();
    early_ = !enter_park();
    if (!early_) {
      (void)sleep_thread(*this, reason);
    }
    return;
  }
  park(
      [](void* raw) noexcept {
        auto& me = *static_cast<Selection*>(raw);
        Goroutine* const g = me.goroutine;
        if (!me.enter_park()) {
          me.early_ = true;
          ready(g);
        }
      },
      this, reason);
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
