// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/detail/arrival.h"

#include "wait/sleeper.h"

// Why no wake-up is lost: sleeper and arrive meet in one word. Where the sleeper comes first,
// arrive gets its address from the exchange; else the sleeper's CAS fails, and it does not sleep.
// Why the last touch of the Arrival is arrive's exchange: one that is awake may have returned when
// that is done, but then there was no address in the word. One that sleeps does so until wake().

namespace hamgam::inline HAMGAM_ABI::detail {

struct ArrivalSleeper : Sleeper {
  explicit ArrivalSleeper(atomic<std::uintptr_t>& in) noexcept : Sleeper(&leave), word(in) {}

  // It is off its stack, if it is a goroutine. False: it has come, or was interrupted.
  bool enter() noexcept {
    std::uintptr_t nobody = Arrival::kNobody;
    // [arrival.1] release, pairs with [arrival.2] and [arrival.4]: whoever wakes it finds it off
    // its stack
    return word.compare_exchange_strong(
        nobody, reinterpret_cast<std::uintptr_t>(static_cast<Sleeper*>(this)), kRelease, kRelaxed);
  }

  void sleep() noexcept {
    if (goroutine == nullptr) {
      if (enter()) {
        (void)sleep_thread(*this, "IO wait");
      }
      return;
    }
    park(
        [](void* raw) noexcept {
          auto& me = *static_cast<ArrivalSleeper*>(raw);
          Goroutine* const g = me.goroutine;
          if (!me.enter()) {
            ready(g);
          }
        },
        this, "IO wait");
  }

  static bool leave(Sleeper& sleeper, Wake how) noexcept {
    auto& me = static_cast<ArrivalSleeper&>(sleeper);
    std::uintptr_t seen = me.word.load(kRelaxed);  // relaxed: the CAS checks it
    while (seen != Arrival::kArrived && seen != Arrival::kInterrupted) {
      bool const asleep = seen != Arrival::kNobody;
      std::uintptr_t const left = asleep ? Arrival::kNobody : Arrival::kInterrupted;
      // [arrival.4] acquire, pairs with [arrival.1]: it is off its stack
      if (me.word.compare_exchange_weak(seen, left, kAcquire, kRelaxed)) {
        if (asleep) {
          me.outcome = how;
        }
        return asleep;
      }
    }
    return false;
  }

  atomic<std::uintptr_t>& word;
};

void Arrival::arrive() noexcept {
  tsan_release(this);
  // [arrival.2] acq_rel, pairs with [arrival.3] and [arrival.1]: what was done before; it is off
  // its stack
  std::uintptr_t const former = word_.exchange(kArrived, kAcqRel);
  if (former > kInterrupted) {
    wake(*reinterpret_cast<Sleeper*>(former));  // NOLINT(performance-no-int-to-ptr)
  }
}

void Arrival::wait_slow() noexcept {
  ArrivalSleeper me(word_);
  me.sleep();
  (void)arrived();
}

bool Arrival::wait_deadline(std::int64_t deadline) {
  {
    ArrivalSleeper me(word_);
    Interrupt const interrupt(me, deadline);
    me.sleep();
  }
  forget_interrupt();
  return arrived();
}

bool Arrival::wait_stoppable(std::stop_token token) noexcept {
  {
    ArrivalSleeper me(word_);
    Interrupt const interrupt(me, std::move(token));
    me.sleep();
  }
  forget_interrupt();
  return arrived();
}

void Arrival::forget_interrupt() noexcept {
  std::uintptr_t interrupted = kInterrupted;
  // relaxed: only the one who waits looks at it
  word_.compare_exchange_strong(interrupted, kNobody, kRelaxed, kRelaxed);
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
