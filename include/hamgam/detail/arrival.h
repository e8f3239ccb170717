// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Arrival: an event that comes once, for which one goroutine or plain thread waits. It may stand on
// the stack of the one who waits: who tells of it touches it last before the wait is over.
//
// Happens-before: arrive() is before the return of a wait that says so, and of an arrived() that is
// true.

#include <cstdint>
#include <stop_token>
#include <utility>

#include "hamgam/detail/atomic.h"
#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

class Arrival {
 public:
  constexpr Arrival() noexcept = default;
  Arrival(const Arrival&) = delete;
  Arrival& operator=(const Arrival&) = delete;

  // Once, from any thread, but for a signal's handler.
  HAMGAM_API void arrive() noexcept;

  [[nodiscard]] bool arrived() const noexcept {
    if (word_.load(kAcquire) != kArrived) {  // [arrival.3] acquire, pairs with [arrival.2]
      return false;
    }
    tsan_acquire(this);
    return true;
  }

  // One at a time.
  void wait() noexcept {
    if (!arrived()) {
      wait_slow();
    }
  }

  // False if it did not come in time. Throws std::bad_alloc.
  [[nodiscard]] bool wait_until(std::int64_t deadline) {
    return arrived() || wait_deadline(deadline);
  }

  // False if stop was requested before it came.
  [[nodiscard]] bool wait(std::stop_token token) noexcept {
    return arrived() || wait_stoppable(std::move(token));
  }

 private:
  friend struct ArrivalSleeper;

  // word_              changed by                              from
  //   kNobody        one who interrupts the sleeper          its address
  //   kArrived       arrive                                  any
  //   kInterrupted   one who interrupts before it sleeps     kNobody
  //   else: the address of the sleeper, by the sleeper once it is off its stack, from kNobody
  // Whoever takes a sleeper's address out of the word wakes it, and nobody else does.
  static constexpr std::uintptr_t kNobody = 0;
  static constexpr std::uintptr_t kArrived = 1;
  static constexpr std::uintptr_t kInterrupted = 2;

  HAMGAM_API void wait_slow() noexcept;
  HAMGAM_API bool wait_deadline(std::int64_t deadline);
  HAMGAM_API bool wait_stoppable(std::stop_token token) noexcept;
  void forget_interrupt() noexcept;

  atomic<std::uintptr_t> word_{kNobody};
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
