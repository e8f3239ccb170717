// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Who sleeps, who searches, who is woken.
//
// counts_ (64 bits)              changed by                               how
//   active     bits 0..31        workers that take or give up a slot      RMW
//   searching  bits 32..63       workers that begin or stop searching     RMW
//
// A submitter publishes work, fences and looks at counts_; it wakes a sleeper only if nobody
// searches and a slot is free. A searcher that gives up subtracts itself, fences and looks at all
// queues once more. One of the two sees the other:
//   [idle.1] submitter: store work;     fence; load counts_
//   [idle.2] sleeper:   RMW on counts_; fence; load queues
// Whoever gives up a slot, or counted somebody as searching who cannot be had, is a sleeper in that
// sense: meanwhile submitters and other sleepers may have relied on the count.
// A searcher that finds work and was the last one wakes another: where there was one piece there
// may be more. Invariants: (1) a worker in the list of sleepers has no slot and is not searching;
// (2) whoever takes it off the list has already counted it as active and searching.
//
// As Go's wakep/stopm and tokio's Idle. Rejected: waking on each submission (a futex call each).

#include <cstdint>

#include "base/cache_line.h"
#include "hamgam/detail/atomic.h"
#include "os/clock.h"
#include "os/spin_lock.h"

namespace hamgam::inline HAMGAM_ABI::detail {

struct Worker;

class Idle {
 public:
  // Submitter, after a full fence: should somebody be woken?
  [[nodiscard]] bool should_wake() const noexcept {
    std::uint64_t const counts = counts_.load(kRelaxed);  // relaxed: fenced by the caller, [idle.1]
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
