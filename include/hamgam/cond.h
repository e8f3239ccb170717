// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Cond: goroutines and plain threads wait until somebody tells them to look again.
//
//   Mutex mutex;  Cond changed;
//   std::unique_lock lock(mutex);
//   changed.wait(lock, [&] { return !queue.empty(); });       // and elsewhere, after a change:
//   changed.notify_one();
//
// Works with any BasicLockable that the caller holds: Mutex, std::unique_lock, Guarded<T>::Locked,
// RWMutex, std::shared_lock. Waiters of one Cond may use different locks. First come, first served:
// a notify wakes those that already wait, the one that has waited longest first, and no later
// waiter can take it from them; nobody wakes without a notify. It may be called with or without the
// lock held, and costs one load if nobody waits. Plain threads that are notified together while
// others wait for their Mutex sleep on until they are given that. The object may be destroyed once
// all waiters were notified. 4 bytes.
//
// Happens-before: notify is before the return of each wait that it ends; so is a request to stop.

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stop_token>
#include <type_traits>
#include <utility>

#include "hamgam/detail/atomic.h"
#include "hamgam/detail/config.h"
#include "hamgam/detail/deadline.h"
#include "hamgam/detail/fatal.h"
#include "hamgam/guarded.h"
#include "hamgam/mutex.h"

namespace hamgam::inline HAMGAM_ABI {

namespace detail {

// The lock that a waiter gives up while it sleeps. Where it is, or wraps, a Mutex, that is used
// directly: the wrapper need not know that it was unlocked in between.
struct CondLock {
  Mutex* mutex;
  void* object = nullptr;
  void (*lock)(void* object) = nullptr;
  void (*unlock)(void* object) noexcept = nullptr;
};

template <class L>
CondLock cond_lock(L& lock) {
  if constexpr (std::is_same_v<L, Mutex>) {
    return {&lock};
  } else if constexpr (std::is_same_v<L, std::unique_lock<Mutex>>) {
    if (!lock.owns_lock()) {
      throw_panic("sync: Cond.wait with a lock that is not held");
    }
    return {lock.mutex()};
  } else if constexpr (requires {
                         { LockedMutex::of(lock) } -> std::same_as<Mutex*>;
                       }) {
    return {LockedMutex::of(lock)};
  } else {
    return {nullptr, std::addressof(lock), [](void* object) { static_cast<L*>(object)->lock(); },
            [](void* object) noexcept { static_cast<L*>(object)->unlock(); }};
  }
}

}  // namespace detail

class Cond {
 public:
  constexpr Cond() noexcept = default;
  Cond(const Cond&) = delete;
  Cond& operator=(const Cond&) = delete;

  // Unlocks, sleeps until notified, locks again. An exception of lock.lock() comes out.
  template <class L>
  void wait(L& lock) {
    wait_on(detail::cond_lock(lock));
  }

  // Waits until ready() is true under the lock.
  template <class L, class P>
  void wait(L& lock, P ready) {
    while (!ready()) {
      wait(lock);
    }
  }

  // The lock is held again on return whatever the result. std::bad_alloc if there is no memory for
  // a timer.
  template <class L, class Rep, class Period>
  std::cv_status wait_for(L& lock, const std::chrono::duration<Rep, Period>& d) {
    return status(wait_deadline(detail::cond_lock(lock), detail::deadline_after(d)));
  }

  // no_timeout without a notify if t is of a clock that was set back meanwhile, or goes slower than
  // ours: what the caller waits for may have come while the lock was had again.
  template <class L, class C, class D>
  std::cv_status wait_until(L& lock, const std::chrono::time_point<C, D>& t) {
    return status(wait_deadline(detail::cond_lock(lock), detail::deadline_at(t)) ||
                  !detail::is_over(t));
  }

  // With a condition: its last value. The deadline is one for all the waiting.
  template <class L, class Rep, class Period, class P>
  [[nodiscard]] bool wait_for(L& lock, const std::chrono::duration<Rep, Period>& d, P ready) {
    std::int64_t const deadline = detail::deadline_after(d);
    while (!ready()) {
      if (!wait_deadline(detail::cond_lock(lock), deadline)) {
        return ready();
      }
    }
    return true;
  }

  template <class L, class C, class D, class P>
  [[nodiscard]] bool wait_until(L& lock, const std::chrono::time_point<C, D>& t, P ready) {
    while (!ready()) {
      if (wait_until(lock, t) == std::cv_status::timeout) {
        return ready();
      }
    }
    return true;
  }

  // False if stop was requested first and the condition is not true.
  template <class L, class P>
  [[nodiscard]] bool wait(L& lock, const std::stop_token& token, P ready) {
    while (!ready()) {
      if (!wait_stoppable(detail::cond_lock(lock), token)) {
        return ready();
      }
    }
    return true;
  }

  // Wakes the one that has waited longest (Go: Signal).
  void notify_one() noexcept {
    // relaxed: a waiter that the caller must reach had the lock before the caller changed what it
    // waits for
    if (waiting_.load(detail::kRelaxed) != 0) {
      notify(false);
    }
  }

  // Wakes all (Go: Broadcast).
  void notify_all() noexcept {
    if (waiting_.load(detail::kRelaxed) != 0) {  // relaxed: as in notify_one
      notify(true);
    }
  }

 private:
  static std::cv_status status(bool notified) noexcept {
    return notified ? std::cv_status::no_timeout : std::cv_status::timeout;
  }

  HAMGAM_API void wait_on(const detail::CondLock& lock);
  HAMGAM_API bool wait_deadline(const detail::CondLock& lock, std::int64_t deadline);
  HAMGAM_API bool wait_stoppable(const detail::CondLock& lock, const std::stop_token& token);
  HAMGAM_API void notify(bool all) noexcept;

  // 1 if anybody waits, or gave up since the last notify. Changed under the bucket's lock.
  detail::atomic<std::uint32_t> waiting_{0};
};

}  // namespace hamgam::inline HAMGAM_ABI
