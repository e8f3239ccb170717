// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// WaitGroup: waits until a number of pieces of work are done. Prefer go(f), which counts and starts
// in one; with add and done by hand, add before the goroutine starts.
//
//   WaitGroup group;
//   for (auto& part : parts) group.go([&part] { work(part); });
//   group.wait();
//
// From goroutines and plain threads alike. 8 bytes. It may be destroyed as soon as a wait has
// returned and no other is under way; it may be used again then.
//
// Happens-before: done(), and the end of an f started by go(f), is before the return of each wait
// that it ends; so is a request to stop.

#include <chrono>
#include <cstdint>
#include <stop_token>
#include <utility>

#include "hamgam/detail/atomic.h"
#include "hamgam/detail/config.h"
#include "hamgam/detail/deadline.h"
#include "hamgam/go.h"

namespace hamgam::inline HAMGAM_ABI {

class WaitGroup {
 public:
  constexpr WaitGroup() noexcept = default;
  WaitGroup(const WaitGroup&) = delete;
  WaitGroup& operator=(const WaitGroup&) = delete;

  // Adds n, which may be negative, to the counter; at 0 all waiters go on. Panic "sync: negative
  // WaitGroup counter", and the counter is as before. O(1) but for waking.
  void add(int n = 1) {
    if (n < 0) {
      detail::tsan_release(this);
    }
    // [wg.1] acq_rel, pairs with [wg.2], [wg.7] and with itself: the work that was done
    std::int64_t const former = state_.fetch_add(n * kOne, detail::kAcqRel);
    std::int64_t const state = plus(former, n);
    if (HAMGAM_UNLIKELY((state & kParked) != 0 || state < 0)) {
      add_slow(n, former);
    }
  }

  // One piece of work is done.
  void done() { add(-1); }

  // Blocks until the counter is 0.
  void wait() {
    // [wg.2] acquire, pairs with [wg.1]
    if (state_.load(detail::kAcquire) != 0) {
      wait_slow();
    }
    detail::tsan_acquire(this);
  }

  // False if the counter was not 0 in time. std::bad_alloc if there is no memory for a timer.
  template <class Rep, class Period>
  [[nodiscard]] bool wait_for(const std::chrono::duration<Rep, Period>& d) {
    return is_zero() || wait_deadline(detail::deadline_after(d));
  }

  template <class C, class D>
  [[nodiscard]] bool wait_until(const std::chrono::time_point<C, D>& t) {
    return is_zero() || detail::attempt_until(
                            t, [this](std::int64_t deadline) { return wait_deadline(deadline); });
  }

  // False if stop was requested before the counter was 0.
  [[nodiscard]] bool wait(std::stop_token token) {
    return is_zero() || wait_stoppable(std::move(token));
  }

  // add(1), run f(args...) in a goroutine, done() when it ends, by goexit() too. An exception that
  // escapes f ends the process before wait can return.
  template <class F, class... Args>
    requires detail::Callable<F, Args...>
  HAMGAM_INLINE void go(F&& f, Args&&... args) {
    start(std::forward<F>(f), std::forward<Args>(args)...);
  }

  template <class F, class... Args>
    requires detail::Callable<F, Args...>
  HAMGAM_INLINE void go(GoOptions options, F&& f, Args&&... args) {
    start(std::move(options), std::forward<F>(f), std::forward<Args>(args)...);
  }

  template <class F, class... Args>
    requires detail::Miscalled<F, Args...>
  void go(F&& /*f*/, Args&&... /*args*/) {
    detail::explain_miscall<F, Args...>();
  }
  template <class... Args>
  void go(detail::OverloadedMember /*f*/, Args&&... /*args*/) {
    detail::explain_overloaded<Args...>();
  }

 private:
  // state_ (64 bits)            changed by                              how
  //   counter   bits 32..63   add                                     RMW
  //   kParked   bit 0         a waiter, before it sleeps; the add     CAS under the bucket's lock
  //                           that wakes
  // Invariants: (1) if anybody sleeps on the object, kParked is set. (2) From the add that makes
  // the counter 0 while kParked is set until it has cleared kParked, nobody's wait returns: so that
  // add may still touch the object. An add that makes it 0 otherwise does not touch it again.
  static constexpr std::int64_t kOne = std::int64_t{1} << 32;
  static constexpr std::int64_t kParked = 1;

  // Wraps around, as the counter does; more than it can hold counts as negative.
  static constexpr std::int64_t plus(std::int64_t state, int n) noexcept {
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(state) +
                                     static_cast<std::uint64_t>(n * kOne));
  }

  [[nodiscard]] bool is_zero() noexcept {
    if (state_.load(detail::kAcquire) != 0) {  // [wg.3] acquire, pairs with [wg.1]
      return false;
    }
    detail::tsan_acquire(this);
    return true;
  }

  template <class F, class... Args>
  HAMGAM_INLINE void start(F&& f, Args&&... args) {
    if constexpr (std::is_same_v<std::remove_cvref_t<F>, GoOptions>) {
      start_bound(detail::bind_call(std::forward<Args>(args)...), std::forward<F>(f));
    } else {
      start_bound(detail::bind_call(std::forward<F>(f), std::forward<Args>(args)...));
    }
  }

  static void done_many(void* self, unsigned count) {
    static_cast<WaitGroup*>(self)->add(-static_cast<int>(count));
  }

  template <class Call, class... Options>
  HAMGAM_INLINE void start_bound(Call&& call, Options&&... options) {
    add(1);
    struct Undo {
      WaitGroup* group;
      ~Undo() {
        if (group != nullptr) {
          group->done();
        }
      }
    } undo{this};
    detail::launch_telling(&done_many, this, std::forward<Call>(call),
                           std::forward<Options>(options)...);
    undo.group = nullptr;
  }

  HAMGAM_API void add_slow(int n, std::int64_t former);
  void wake_sleepers() noexcept;
  HAMGAM_API void wait_slow();
  HAMGAM_API bool wait_deadline(std::int64_t deadline);
  HAMGAM_API bool wait_stoppable(std::stop_token token);

  detail::atomic<std::int64_t> state_{0};
};

}  // namespace hamgam::inline HAMGAM_ABI
