// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Mutex: mutual exclusion between goroutines and plain threads.
// Meets Cpp17Lockable and Cpp17TimedLockable: use std::scoped_lock, std::unique_lock, or LockGuard,
// which clang's thread-safety analysis understands. Guarded<T> (guarded.h) keeps the data together
// with it.
//
// Not recursive; not owned: any goroutine or thread may unlock it. A goroutine that waits is
// parked, a thread sleeps. Whoever comes first gets it (barging), but one that has waited for 1 ms
// is handed the lock by the next unlock. It may be destroyed right after the unlock that the
// destroyer's own lock waited for. An unlock that hands over lets the other one run first, so a
// goroutine may go on on another thread after it (go.h). 4 bytes. Unlocking an unlocked Mutex is
// the fatal error "sync: unlock of unlocked mutex".
//
// Happens-before: the n-th unlock() is before the return of the m-th lock() for n < m. A try that
// fails orders nothing, but a request to stop is before the return of the one that it ends.

#include <chrono>
#include <cstdint>
#include <stop_token>

#include "hamgam/detail/annotations.h"
#include "hamgam/detail/atomic.h"
#include "hamgam/detail/config.h"
#include "hamgam/detail/deadline.h"
#include "hamgam/detail/lock_watch.h"
#include "hamgam/detail/rseq.h"

namespace hamgam::inline HAMGAM_ABI {

namespace detail {
struct MutexQueue;  // src/sync/mutex_queue.h
class InnerMutex;
}

class HAMGAM_CAPABILITY("mutex") Mutex {
 public:
  constexpr Mutex() noexcept = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  // Blocks until the lock is ours. O(1).
  void lock() noexcept HAMGAM_ACQUIRE() {
    std::uint32_t state = state_.load(detail::kRelaxed);  // relaxed: the CAS checks it
    // [mutex.1] acquire, pairs with [mutex.2]
    if (HAMGAM_UNLIKELY(((state | detail::watched_bit()) & kLocked) != 0 ||
                        !state_.compare_exchange_strong(state, state | kLocked, detail::kAcquire,
                                                        detail::kRelaxed))) {
      lock_slow();
    }
    detail::tsan_acquire(this);
  }

  // Never blocks and never fails without cause.
  [[nodiscard]] bool try_lock() noexcept HAMGAM_TRY_ACQUIRE(true) {
    if (HAMGAM_UNLIKELY(detail::watched_bit() != 0)) {
      return try_lock_watched();
    }
    return try_lock_unwatched();
  }

  // The last touch of the object is what lets another one lock it.
  void unlock() noexcept HAMGAM_RELEASE() {
    detail::tsan_release(this);
    if (HAMGAM_LIKELY(detail::rseq_offset != 0)) {
      if (HAMGAM_UNLIKELY(!detail::store_if_equal(state_, kLocked, 0U))) {
        unlock_slow();
        HAMGAM_STAY_ON_STACK();
      }
      return;
    }
    std::uint32_t expected = kLocked;
    // [mutex.2] release, pairs with [mutex.1], [mutex.3], [mutex.5]: publishes the critical section
    if (HAMGAM_UNLIKELY(
            !state_.compare_exchange_strong(expected, 0, detail::kRelease, detail::kRelaxed))) {
      unlock_slow();
      HAMGAM_STAY_ON_STACK();
    }
  }

  // False if the lock was not to be had in time. std::bad_alloc if there is no memory for a timer.
  template <class Rep, class Period>
  [[nodiscard]] bool try_lock_for(const std::chrono::duration<Rep, Period>& d)
      HAMGAM_TRY_ACQUIRE(true) {
    return try_lock() || lock_deadline(detail::deadline_after(d));
  }

  template <class C, class D>
  [[nodiscard]] bool try_lock_until(const std::chrono::time_point<C, D>& t)
      HAMGAM_TRY_ACQUIRE(true) {
    return try_lock() || detail::attempt_until(
                             t, [this](std::int64_t deadline) { return lock_deadline(deadline); });
  }

  // False if stop was requested before the lock was ours. A free lock is taken even then.
  [[nodiscard]] bool try_lock(std::stop_token token) HAMGAM_TRY_ACQUIRE(true) {
    return try_lock() || lock_stoppable(std::move(token));
  }

 private:
  // clang-format off
  // state_ (32 bits)          changed by                                    how
  //   kLocked    bit 0        lock; unlock                                  CAS; CAS, or a plain store of 0
  //   kParked    bit 1        a locker, before it sleeps; an unlocker       CAS under the bucket's lock
  //   kAwake     bit 2        set by the unlocker that wakes a waiter,      CAS under the bucket's lock
  //                           cleared by that waiter                        CAS
  //   kHeavy     bit 3        set by a locker that wants to sleep,          CAS under the bucket's lock
  //                           cleared by an unlocker, some time later       CAS
  //   kProbe     bit 4        a locker on the way to kHeavy                 CAS under the bucket's lock
  //   kMarked    bit 5        who has it, if locks are watched: for good    RMW
  //   idle count bits 8..31   unlocks since anybody slept                   CAS, while kHeavy is set
  // clang-format on
  //
  // Invariants: (1) if anybody sleeps on the object, kParked and kHeavy are set. (2) kAwake stands
  // for one waiter that was woken and neither has the lock nor sleeps again: unlock wakes nobody
  // else meanwhile. (3) The plain store happens only if the state was kLocked and nothing else when
  // it was checked; while kHeavy is set nobody is between that check and the store
  // (src/sync/mutex.cpp).
  static constexpr std::uint32_t kLocked = 1;

  friend struct detail::MutexQueue;
  friend class detail::InnerMutex;

  bool try_lock_unwatched() noexcept HAMGAM_TRY_ACQUIRE(true) {
    std::uint32_t state = state_.load(detail::kRelaxed);  // relaxed: the CAS checks it
    while ((state & kLocked) == 0) {
      // [mutex.3] acquire, pairs with [mutex.2]
      if (state_.compare_exchange_weak(state, state | kLocked, detail::kAcquire,
                                       detail::kRelaxed)) {
        detail::tsan_acquire(this);
        return true;
      }
    }
    return false;
  }

  HAMGAM_API void lock_slow() noexcept;
  HAMGAM_API bool try_lock_watched() noexcept;
  HAMGAM_API void lock_inner() noexcept HAMGAM_ACQUIRE();  // slow, too
  HAMGAM_API bool lock_deadline(std::int64_t deadline);
  HAMGAM_API bool lock_stoppable(std::stop_token token);
  HAMGAM_API void unlock_slow() noexcept;

  detail::atomic<std::uint32_t> state_{0};
};

// A guard that clang's thread-safety analysis understands; otherwise std::lock_guard.
template <class M>
class [[nodiscard]] HAMGAM_SCOPED_CAPABILITY LockGuard {
 public:
  // Locks, and unlocks at the end of the scope.
  [[nodiscard]] explicit LockGuard(M& mutex) HAMGAM_ACQUIRE(mutex) : mutex_(mutex) {
    mutex_.lock();
  }
  ~LockGuard() HAMGAM_RELEASE() { mutex_.unlock(); }
  LockGuard(const LockGuard&) = delete;
  LockGuard& operator=(const LockGuard&) = delete;

 private:
  M& mutex_;
};

}  // namespace hamgam::inline HAMGAM_ABI
