// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Semaphore: a number of units that goroutines and plain threads take and give back, several at a
// time if they like (Go: golang.org/x/sync/semaphore).
//
//   Semaphore slots(8);
//   {
//     SemaphoreGuard const slot(slots);  // acquires; releases at the end of the scope
//     ...
//   }
//
// Strictly first come, first served: a small request never overtakes a big one, so a big one is not
// starved. A waiter that gives up lets those behind it go on. A request for more than there are at
// all waits for ever and holds nobody back. It may be destroyed as soon as nobody waits and each
// release has given back what a returned acquire took. 16 bytes.
//
// Happens-before: release(n) is before the return of each acquire that needed it: of k units, the
// n-th that is released before the return of the acquire of the (n + k)-th, as with a channel whose
// buffer has k elements; so users of two units are not ordered. A try that fails orders nothing,
// but a request to stop is before the return of the acquire that it ends.

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stop_token>
#include <utility>

#include "hamgam/detail/atomic.h"
#include "hamgam/detail/config.h"
#include "hamgam/detail/deadline.h"
#include "hamgam/detail/fatal.h"
#include "hamgam/detail/unit_edges.h"

namespace hamgam::inline HAMGAM_ABI {

class Semaphore {
 public:
  // n units, all free. Panic "semaphore: negative size".
  constexpr explicit Semaphore(std::int64_t n) : state_(checked(n)), size_(n), edges_(n) {}
  Semaphore(const Semaphore&) = delete;
  Semaphore& operator=(const Semaphore&) = delete;

  // Blocks until n units are ours. O(1). A negative n is the Panic "semaphore: negative count",
  // here and below.
  void acquire(std::int64_t n = 1) {
    if (HAMGAM_UNLIKELY(!take(n))) {
      acquire_slow(n);
    }
    edges_.taken(n);
  }

  // Never blocks. False if n units are not free, or others wait.
  [[nodiscard]] bool try_acquire(std::int64_t n = 1) {
    if (!take(n)) {
      return false;
    }
    edges_.taken(n);
    return true;
  }

  // False if the units were not to be had in time. std::bad_alloc if there is no memory for a
  // timer.
  template <class Rep, class Period>
  [[nodiscard]] bool try_acquire_for(const std::chrono::duration<Rep, Period>& d,
                                     std::int64_t n = 1) {
    return try_acquire(n) || acquire_deadline(detail::deadline_after(d), n);
  }

  template <class C, class D>
  [[nodiscard]] bool try_acquire_until(const std::chrono::time_point<C, D>& t, std::int64_t n = 1) {
    return try_acquire(n) || detail::attempt_until(t, [this, n](std::int64_t deadline) {
             return acquire_deadline(deadline, n);
           });
  }

  // False if stop was requested before the units were ours. Free ones are taken even then.
  [[nodiscard]] bool acquire(std::stop_token token, std::int64_t n = 1) {
    return try_acquire(n) || acquire_stoppable(std::move(token), n);
  }

  // Gives n units back and wakes those whose turn has come. Panic "semaphore: released more than
  // held"; the semaphore is as before then.
  void release(std::int64_t n = 1) {
    if (n <= size_) {  // else it is refused, whatever others do
      edges_.given(n);
    }
    std::int64_t state = state_.load(detail::kRelaxed);  // relaxed: the CAS checks it
    while (HAMGAM_LIKELY(state >= 0 && n >= 0 && n <= size_ - state)) {
      // [sem.1] release, pairs with [sem.2], [sem.3]: what was done with the units
      if (HAMGAM_LIKELY(
              state_.compare_exchange_weak(state, state + n, detail::kRelease, detail::kRelaxed))) {
        return;
      }
    }
    release_slow(n);
  }

 private:
  // state_ (64 bits)      meaning                                       changed by
  //   s >= 0              s units are free and nobody waits           anyone, by CAS
  //   s < 0               ~s units are free and somebody waits        under the bucket's lock
  // Invariants: (1) if anybody sleeps on the object, s < 0. (2) The first one that sleeps asks for
  // more than is free, unless the one before it has just given up and is about to see to it.
  static constexpr std::int64_t checked(std::int64_t n) {
    if (n < 0) {
      detail::throw_panic("semaphore: negative size");
    }
    return n;
  }

  bool take(std::int64_t n) {
    std::int64_t state = state_.load(detail::kRelaxed);  // relaxed: the CAS checks it
    while (HAMGAM_LIKELY(state >= n && n >= 0)) {
      // [sem.2] acquire, pairs with [sem.1], [sem.4]
      if (HAMGAM_LIKELY(
              state_.compare_exchange_weak(state, state - n, detail::kAcquire, detail::kRelaxed))) {
        return true;
      }
    }
    if (HAMGAM_UNLIKELY(n < 0)) {
      detail::throw_panic("semaphore: negative count");
    }
    return false;
  }

  HAMGAM_API void acquire_slow(std::int64_t n);
  HAMGAM_API bool acquire_deadline(std::int64_t deadline, std::int64_t n);
  HAMGAM_API bool acquire_stoppable(std::stop_token token, std::int64_t n);
  HAMGAM_API void release_slow(std::int64_t n);

  detail::atomic<std::int64_t> state_;
  const detail::unseen<std::int64_t> size_;  // read beside what the units protect
  [[no_unique_address]] detail::UnitEdges edges_;
};

// Units of a Semaphore that are given back at the end of the scope. Movable; empty if made by
// default, moved from or released.
class [[nodiscard]] SemaphoreGuard {
 public:
  SemaphoreGuard() noexcept = default;
  // Blocks until n units are ours.
  explicit SemaphoreGuard(Semaphore& semaphore, std::int64_t n = 1) : SemaphoreGuard() {
    semaphore.acquire(n);
    semaphore_ = std::addressof(semaphore);
    count_ = n;
  }
  // Takes over n units that were acquired: if (slots.try_acquire_for(1s)) SemaphoreGuard
  // slot(slots, std::adopt_lock). More than that is an uncaught Panic where they are released.
  SemaphoreGuard(Semaphore& semaphore, std::adopt_lock_t /*adopt*/, std::int64_t n = 1) noexcept
      : semaphore_(std::addressof(semaphore)), count_(n) {}
  SemaphoreGuard(SemaphoreGuard&& other) noexcept
      : semaphore_(std::exchange(other.semaphore_, nullptr)),
        count_(std::exchange(other.count_, 0)) {}
  SemaphoreGuard& operator=(SemaphoreGuard&& other) noexcept {
    if (this != &other) {
      release();
      semaphore_ = std::exchange(other.semaphore_, nullptr);
      count_ = std::exchange(other.count_, 0);
    }
    return *this;
  }
  ~SemaphoreGuard() { release(); }

  // Before the end of the scope. An empty one: nothing.
  void release() noexcept {
    if (Semaphore* const semaphore = std::exchange(semaphore_, nullptr)) {
      semaphore->release(std::exchange(count_, 0));
    }
  }

  // How many units it holds.
  [[nodiscard]] std::int64_t count() const noexcept { return count_; }
  [[nodiscard]] explicit operator bool() const noexcept { return semaphore_ != nullptr; }

 private:
  Semaphore* semaphore_ = nullptr;
  std::int64_t count_ = 0;
};

}  // namespace hamgam::inline HAMGAM_ABI
