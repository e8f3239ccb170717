// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Timers: a 4-ary heap per worker, ordered by deadline. Any thread may fire what is due.
//
// Timer::phase   kIdle -> kQueued (add) -> kFiring -> kIdle (run_due), or kQueued -> kIdle (remove)
//                changed under the heap's lock, but for kFiring -> kIdle
// A Timer usually stands on the stack of the one that waits: run_due touches it last when it sets
// kIdle, and remove() does not return before that.

#include <cstddef>
#include <cstdint>
#include <vector>

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
  TimerHeap* heap = nullptr;
  std::size_t place = 0;
  Nanos again = kForever;  // while kFiring, under the heap's lock: when it was added again
  atomic<std::uint32_t> phase{kIdle};
};

class TimerHeap {
 public:
  // Throws std::bad_alloc, and then the timer is not in. True if it is the earliest one now. One
  // that is in already is moved.
  bool add(Timer& timer, Nanos when);

  // True if it was removed before it fired. Else it has fired, and that is over.
  bool remove(Timer& timer) noexcept;

  // As remove, but if it fires now it does not wait for the end of that.
  bool withdraw(Timer& timer) noexcept;

  // Fires all that are due at `time`; how many.
  std::size_t run_due(Nanos time) noexcept;

  [[nodiscard]] Nanos earliest() const noexcept {
    return earliest_.load(kRelaxed);  // relaxed: a hint; sched/timers.cpp fences
  }

 private:
  struct Entry {
    Nanos when;
    Timer* timer;
  };

  void insert(Timer& timer, Nanos when);
  void place(std::size_t at, Entry entry) noexcept;
  void sift_up(std::size_t at, Entry entry) noexcept;
  void sift_down(std::size_t at, Entry entry) noexcept;
  void erase(std::size_t at) noexcept;
  void publish_earliest() noexcept;

  SpinLock lock_;
  atomic<Nanos> earliest_{kForever};
  std::vector<Entry> entries_;
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
