// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Selection: one who waits on several channels at once, or for a limited time, and goes on when the
// first of all that is claimed. One word decides who is first.
//
// word               changed by                              from
//   kSetup           the selection, while it queues itself    -
//   kParked          the selection, once it is off its stack  kSetup        [select.1]
//   kTimedOut,       an Interrupt                             kSetup, kParked
//   kStopped
//   kCase + i        a partner that found case i in a         kSetup, kParked  [select.2]
//                    channel, under that channel's lock;
//                    or the selection itself                  kSetup
// Whoever takes it from kParked wakes the selection. Whoever takes it from kSetup does not: the
// selection notices when it wants to park. A partner that did so hands over under the channel's
// lock and touches the selection no more after the unlock, and the selection passes through that
// lock before it goes on.
//
// Rejected: keeping all the channels locked until the selection is off its stack, as Go does. A
// channel on which thousands select would be locked most of the time (golang/go#20351).

#include "hamgam/detail/atomic.h"
#include "hamgam/detail/chan_ops.h"
#include "wait/sleeper.h"

namespace hamgam::inline HAMGAM_ABI::detail {

enum class Claim : std::uint8_t {
  kLost,    // somebody else was first
  kEarly,   // ours, and it is awake: hand over under the channel's lock, do not wake
  kParked,  // ours, and to be woken
};

class Selection : public Sleeper {
 public:
  Selection() noexcept : Sleeper(&interrupt) {}

  // A partner claims the case. Under the lock of the channel in which it was found.
  Claim claim(std::uint32_t place) noexcept {
    std::uint32_t word = word_.load(kRelaxed);  // relaxed: the CAS checks it
    while (word <= kParked) {
      // [select.2] acquire, pairs with [select.1]: it is off its stack
      if (word_.compare_exchange_weak(word, kCase + place, kAcqRel, kRelaxed)) {
        return word == kParked ? Claim::kParked : Claim::kEarly;
      }
    }
    return Claim::kLost;
  }

  // The selection claims a case of its own that it found to be ready while it was queueing itself.
  // Partners take it for gone from here on. False: somebody was first.
  bool claim_own(std::uint32_t place) noexcept {
    std::uint32_t word = kSetup;
    // [select.3] acquire, pairs with [select.2]
    early_ = !word_.compare_exchange_strong(word, kCase + place, kAcqRel, kAcquire);
    return !early_;
  }

  // Undoes claim_own. It must not be queued anywhere.
  void reopen() noexcept {
    word_.store(kSetup, kRelaxed);  // relaxed: nobody can reach it
  }

  // A glance: has somebody claimed it already?
  [[nodiscard]] bool is_claimed() const noexcept {
    return word_.load(kRelaxed) != kSetup;  // relaxed: a hint
  }

  // Sleeps until claimed or interrupted. `reason` as for park().
  void sleep(const char* reason) noexcept;

  // After sleep: was it a partner, and which case did it take; was it awake when it was claimed?
  [[nodiscard]] bool has_winner() const noexcept {
    return word_.load(kAcquire) >= kCase;  // [select.4] acquire, pairs with [select.2]
  }
  [[nodiscard]] std::uint32_t winner() const noexcept {
    return word_.load(kRelaxed) - kCase;  // relaxed: decided
  }
  [[nodiscard]] bool was_early() const noexcept { return early_; }
  [[nodiscard]] bool was_stopped() const noexcept {
    return word_.load(kRelaxed) == kStopped;  // relaxed: decided
  }

 private:
  enum : std::uint32_t { kSetup, kParked, kTimedOut, kStopped, kCase };

  static bool interrupt(Sleeper& sleeper, Wake how) noexcept;
  HAMGAM_INLINE void sleep_unclaimed(const char* reason) noexcept;
  bool enter_park() noexcept;

  atomic<std::uint32_t> word_{kSetup};
  bool early_ = false;  // the selection's own
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
