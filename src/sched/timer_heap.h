// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Timers: a 4-ary heap per worker, ordered by deadline. Any thread may fire what is due.
//
// Timer::phase   kIdle -> kQueued (add) -> kFiring -> kIdle (run_due), or kQueued -> kIdle (remove)
//                changed under the lock of the heap that it is in
// Timer::heap    null -> the heap of its first add. A heap whose worker retires is closed: what is
//                in it goes to another one, under the locks of both, and later adds go elsewhere.
//                So who holds the lock of the heap that `heap` names then has the timer for itself.
// A Timer usually stands on the stack of the one that waits: run_due touches it last when it sets
// kIdle, and remove() does not return before that.
//
// Memory is asked for by add alone, which throws: there is always room for those that fire and may
// add themselves again.

#include <cstddef>
#include <cstdint>

#include "base/own_containers.h"
#include "hamgam/detail/atomic.h"
#include "os/clock.h"
#include "os/spin_lock.h"

namespace hamgam::inline HAMGAM_ABI::detail {

class TimerHeap;

struct Timer {
  using Fire = void (*)(Timer& timer) noexcept;  // short; must not block

  enum Phase : std::uint32_t { kIdle, kQueued, kFiring };

  Fire fire = nullptr;
  Nanos when = 0;
  atomic<TimerHeap*> heap{nullptr};
  std::size_t place = 0;
  Nanos again = kForever;  // while kFiring, under the heap's lock: when it was added again
  atomic<std::uint32_t> phase{kIdle};
};

class TimerHeap {
 public:
  // To the heap that the timer is in or was in last, if that is open, else to this one, which is.
  // Throws std::bad_alloc, and then the timer is not in. True if it is the earliest one there now.
  // One that is in already is moved.
  bool add(Timer& timer, Nanos when);

  // True if it was removed before it fired, or fired again. Else it has fired, and that is over.
  static bool remove(Timer& timer) noexcept;

  // As remove, but if it fires now it does not wait for the end of that.
  static bool withdraw(Timer& timer) noexcept;

  // Fires all that are due at `time`; how many.
  std::size_t run_due(Nanos time) noexcept;

  // Is one being fired? Once exiting(), none begins after this has looked.
  bool fires() noexcept;

  // Moves all to `heir`, which is never closed, and closes this heap. False, and nothing has
  // changed, while one fires or if there is no memory.
  bool close(TimerHeap& heir) noexcept;
  void open() noexcept;

  // How many are in.
  [[nodiscard]] std::size_t size() noexcept;

  [[nodiscard]] Nanos earliest() const noexcept {
    return earliest_.load(kRelaxed);  // relaxed: a hint; sched/timers.cpp fences
  }

  // Is none in and none being fired? Whatever one that was fired has made runnable is visible then.
  [[nodiscard]] bool at_rest() const noexcept {
    // [timer.3] acquire, pairs with [timer.4]: what those did that are over
    std::uint32_t const ended = ended_.load(kAcquire);
    // [timer.5] acquire, pairs with [timer.6]: one that is not in any more has begun
    return earliest_.load(kAcquire) == kForever &&
           begun_.load(kRelaxed) == ended;  // relaxed: the acquires order it; none has begun since
  }

 private:
  struct Entry {
    Nanos when;
    Timer* timer;
  };

  // The lock of the heap that the timer is in, or was in last: held then. Null: it never was in.
  static TimerHeap* lock_heap_of(Timer& timer) noexcept;
  bool withdraw_locked(Timer& timer) noexcept;
  [[nodiscard]] std::uint32_t firing() const noexcept {
    return begun_.load(kRelaxed) - ended_.load(kRelaxed);  // relaxed: under lock_
  }
  void grow(std::size_t wanted);
  void reserve(std::size_t more);
  void insert(Timer& timer, Nanos when) noexcept;
  void place(std::size_t at, Entry entry) noexcept;
  void sift_up(std::size_t at, Entry entry) noexcept;
  void sift_down(std::size_t at, Entry entry) noexcept;
  void erase(std::size_t at) noexcept;
  void publish_earliest() noexcept;

  SpinLock lock_;
  atomic<Nanos> earliest_{kForever};
  atomic<std::uint32_t> begun_{0};  // how many have been fired, changed under lock_,
  atomic<std::uint32_t> ended_{0};  // and of how many that is over
  bool closed_ = false;
  OwnVector<Entry> entries_;  // has room for those that fire
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
