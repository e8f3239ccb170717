// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// What Cond needs of Mutex: waiters go from the one's queue to the other's without waking in
// between.

#include <cstdint>

#include "hamgam/mutex.h"
#include "wait/parking_lot.h"

namespace hamgam::inline HAMGAM_ABI::detail {

struct MutexQueue {
  // Values of Waiter::token while it sleeps for a Mutex, and when it wakes.
  static constexpr std::uintptr_t kHandedOver = 1;  // the lock is the waiter's
  static constexpr std::uintptr_t kRequeued = 2;    // it came from a Cond

  // unlock(), if nobody is to be woken; else false, and it is still locked. Takes no bucket.
  static bool unlock_alone(Mutex& mutex) noexcept;

  // A waiter that was taken off a Cond's queue, whose bucket is locked, sleeps on for the mutex.
  // False: it does not, and is to be woken: the mutex is free, or in the light mode.
  static bool enqueue(Mutex& mutex, Waiter& waiter, Bucket& locked) noexcept;

  // Locks, by a waiter that wakes from what began as enqueue(). `woken`: and not interrupted.
  static void lock(Mutex& mutex, Waiter& waiter, bool woken) noexcept;
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
