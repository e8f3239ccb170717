// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Who sleeps, who searches, who is woken.
//
// counts_ (64 bits)              changed by                               how
//   active     bits 0..31        workers that take or give up a slot      RMW
//   searching  bits 32..63       workers that begin or stop searching     RMW
//
// The rule: whoever has work to give wakes one sleeper, if nobody searches and a slot is free
// (should_wake). A searcher that finds work and was the last one wakes another: where there was one
// piece there may be more. So one wake is under way at a time, and the others follow from it.
//
// Why no work is forgotten. What is in the queue that all share, or was left behind with a slot, is
// seen by one of the two: the submitter publishes it, fences and looks at counts_; who stops
// searching, or gives up a slot, subtracts itself, fences and looks at all queues once more.
//   [idle.1] submitter: store work;     fence; load counts_
//   [idle.2] sleeper:   RMW on counts_; fence; load queues
// So does whoever counted somebody as searching who cannot be had: meanwhile submitters and other
// sleepers may have relied on the count.
// What is in a worker's own queue needs no fence (offer): that worker is awake, runs it, and gives
// it to all before it sleeps or blocks. Who falls asleep just now may miss it, and then it waits
// for its turn there; or for the monitor, if that does not come.
//
// The one exception: a goroutine that is alone in its worker's queue runs as soon as the one before
// it parks, and mostly before anybody woken is there. So a worker offers such a one only the 1st,
// 2nd, 4th, 8th ... time (Worker::offers). If it has to wait after all, because the one before it
// computes, the monitor sees that within 20 us to 1 ms. (Rejected: beginning anew whenever a thief
// took something. A worker whose thread was preempted looks like one that computes: ten times the
// futex calls of a ping-pong on a machine that others use, too.)
//
// Invariants: (1) a worker in the list of sleepers has no slot and is not searching; (2) whoever
// takes it off the list has already counted it as active and searching.
//
// As Go's wakep, stopm and nmspinning; but Go wakes for each goroutine that is alone, too, and
// fences in each ready. Rejected: waking on each submission (a futex call each).

#include <cstdint>

#include "base/cache_line.h"
#include "hamgam/detail/atomic.h"
#include "os/clock.h"
#include "os/spin_lock.h"

namespace hamgam::inline HAMGAM_ABI::detail {

struct Worker;

class Idle {
 public:
  // Should somebody be woken for work?
  [[nodiscard]] bool should_wake() const noexcept {
    std::uint64_t const counts = counts_.load(kRelaxed);  // relaxed: fenced as said above
    return counts >> 32 == 0 && static_cast<std::uint32_t>(counts) < width();
  }

  [[nodiscard]] std::uint32_t width() const noexcept {
    return width_.load(kRelaxed);  // relaxed: a limit that may lag
  }
  void set_width(std::uint32_t width) noexcept {
    width_.store(width, kSeqCst);  // [idle.3] seq_cst, pairs with [idle.2]: waked by set_max_procs
  }
  [[nodiscard]] std::uint32_t active() const noexcept {
    return static_cast<std::uint32_t>(counts_.load(kRelaxed));  // relaxed: a snapshot
  }

  // Counts a sleeper as active and searching, and takes it off the list: null, and nothing counted,
  // if somebody searches or no slot is free; `nobody_sleeps`: counted, but a new worker must be
  // started.
  Worker* claim_sleeper(bool& nobody_sleeps) noexcept;
  // The same where no worker can be started: nothing is counted if nobody sleeps.
  Worker* claim_if_one_sleeps() noexcept;
  // The same for that one, if it sleeps. False, and nothing counted, if not.
  bool claim(Worker& worker) noexcept;
  // One that was counted as active and searching cannot be started.
  void uncount() noexcept;

  // Counts a slot; false if none is free. `force`: even beyond the width.
  bool take_slot(bool force = false) noexcept;
  void give_slot() noexcept;

  // False if enough others search already.
  bool start_searching() noexcept;
  // True if it was the last one.
  bool stop_searching() noexcept;

  // Puts the worker among the sleepers and gives up its slot and its searching. True if it was the
  // last one that searched: it must look again before it sleeps.
  bool go_to_sleep(Worker& worker, bool held_slot) noexcept;

  // A sleeper wakes itself, for a timer: false if it was claimed or no slot is free. `no_heir`: if
  // it kept time nobody does until one falls asleep.
  bool wake_self(Worker& worker, bool no_heir = false) noexcept;

  // How many workers are in the lists of sleepers.
  [[nodiscard]] std::uint32_t sleepers() const noexcept {
    return sleepers_.load(kRelaxed);  // relaxed: a snapshot
  }
  [[nodiscard]] std::uint32_t sleepers_with_place() const noexcept {
    return sleepers() - retired_.load(kRelaxed);  // relaxed: a snapshot
  }

  // A sleeper that keeps time, or null. Under no lock: a hint.
  [[nodiscard]] Worker* timekeeper() const noexcept {
    return timekeeper_.load(kRelaxed);  // relaxed: fenced by the caller, [timers.1]
  }

 private:
  bool count_searcher() noexcept;
  Worker*& list_of(const Worker& worker) noexcept;
  Worker* take_sleeper() noexcept;
  void unlink(Worker& worker, bool no_heir = false) noexcept;

  static constexpr std::uint64_t kActive = 1;
  static constexpr std::uint64_t kSearching = std::uint64_t{1} << 32;

  alignas(kNoSharing) atomic<std::uint64_t> counts_{0};
  atomic<std::uint32_t> width_{1};
  alignas(kCacheLine) SpinLock lock_;
  Worker* first_ = nullptr;            // the last one to fall asleep: its caches are the warmest
  Worker* first_retired_ = nullptr;    // the same of those that have no place; woken when none has
  atomic<std::uint32_t> sleepers_{0};  // all; changed under lock_
  atomic<std::uint32_t> retired_{0};   // those that have no place; changed under lock_
  atomic<Worker*> timekeeper_{nullptr};
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
