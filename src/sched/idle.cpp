// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sched/idle.h"

#include <mutex>

#include "sched/worker.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// As active too; false if somebody searches or no slot is free.
bool Idle::count_searcher() noexcept {
  std::uint64_t counts = counts_.load(kRelaxed);  // relaxed: the CAS checks it
  do {
    if (counts >> 32 != 0 || static_cast<std::uint32_t>(counts) >= width()) {
      return false;
    }
    // [idle.4] seq_cst, pairs with [idle.2]
  } while (
      !counts_.compare_exchange_weak(counts, counts + kActive + kSearching, kSeqCst, kRelaxed));
  return true;
}

Worker*& Idle::list_of(const Worker& worker) noexcept {
  return worker.retired ? first_retired_ : first_;
}

// Under lock_. Null if nobody sleeps.
Worker* Idle::take_sleeper() noexcept {
  Worker* worker = first_ != nullptr ? first_ : first_retired_;
  // The timekeeper last: another one would have to take over its timers.
  if (worker != nullptr && worker == timekeeper() && worker->next_sleeper != nullptr) {
    worker = worker->next_sleeper;
  }
  if (worker != nullptr) {
    unlink(*worker);
  }
  return worker;
}

Worker* Idle::claim_sleeper(bool& nobody_sleeps) noexcept {
  nobody_sleeps = false;
  if (!count_searcher()) {
    return nullptr;
  }
  std::lock_guard const guard(lock_);
  Worker* const worker = take_sleeper();
  nobody_sleeps = worker == nullptr;
  return worker;
}

// Whoever falls asleep after this looks for work itself: nobody was counted.
Worker* Idle::claim_if_one_sleeps() noexcept {
  std::lock_guard const guard(lock_);
  return sleepers() != 0 && count_searcher() ? take_sleeper() : nullptr;
}

bool Idle::claim(Worker& worker) noexcept {
  std::lock_guard const guard(lock_);
  if (!worker.asleep || !count_searcher()) {
    return false;
  }
  unlink(worker);
  return true;
}

void Idle::uncount() noexcept {
  counts_.fetch_sub(kActive + kSearching, kSeqCst);  // [idle.2] seq_cst, pairs with [idle.1]
  fence_after_rmw();
}

bool Idle::take_slot(bool force) noexcept {
  std::uint64_t counts = counts_.load(kRelaxed);  // relaxed: the CAS checks it
  do {
    if (!force && static_cast<std::uint32_t>(counts) >= width()) {
      return false;
    }
    // [idle.5] seq_cst, pairs with [idle.2]
  } while (!counts_.compare_exchange_weak(counts, counts + kActive, kSeqCst, kRelaxed));
  return true;
}

void Idle::give_slot() noexcept {
  counts_.fetch_sub(kActive, kSeqCst);  // [idle.2] seq_cst, pairs with [idle.1]
  fence_after_rmw();
}

bool Idle::start_searching() noexcept {
  std::uint64_t const counts = counts_.load(kRelaxed);  // relaxed: a heuristic
  if (2 * (counts >> 32) >= static_cast<std::uint32_t>(counts)) {
    return false;
  }
  counts_.fetch_add(kSearching, kSeqCst);  // [idle.6] seq_cst, pairs with [idle.2]
  return true;
}

bool Idle::stop_searching() noexcept {
  // [idle.2] seq_cst, pairs with [idle.1]
  std::uint64_t const before = counts_.fetch_sub(kSearching, kSeqCst);
  fence_after_rmw();
  return before >> 32 == 1;
}

bool Idle::go_to_sleep(Worker& worker, bool held_slot) noexcept {
  std::lock_guard const guard(lock_);
  worker.wake.store(Worker::kAsleep, kRelaxed);  // relaxed: wakers write it under lock_ or after it
  worker.asleep = true;
  worker.kept_time = false;
  worker.looks_at.store(kForever, kRelaxed);  // relaxed: published by the lock, or the RMW below
  worker.prev_sleeper = nullptr;
  Worker*& first = list_of(worker);
  worker.next_sleeper = first;
  if (first != nullptr) {
    first->prev_sleeper = &worker;
  }
  first = &worker;
  // relaxed throughout: under lock_
  sleepers_.store(sleepers() + 1, kRelaxed);
  retired_.store(retired_.load(kRelaxed) + (worker.retired ? 1 : 0), kRelaxed);
  if (timekeeper() == nullptr && !worker.retired) {
    timekeeper_.store(&worker, kRelaxed);  // relaxed: fenced by the RMW below, [timers.2]
  }
  std::uint64_t const change = (held_slot ? kActive : 0) + (worker.searching ? kSearching : 0);
  // [idle.2] seq_cst, pairs with [idle.1]
  std::uint64_t const before = counts_.fetch_sub(change, kSeqCst);
  fence_after_rmw();
  bool const last = worker.searching && before >> 32 == 1;
  worker.searching = false;
  return last;
}

bool Idle::wake_self(Worker& worker, bool no_heir) noexcept {
  std::lock_guard const guard(lock_);
  if (!worker.asleep || !take_slot()) {
    return false;
  }
  unlink(worker, no_heir);
  return true;
}

// Under lock_.
void Idle::unlink(Worker& worker, bool no_heir) noexcept {
  worker.asleep = false;
  // relaxed throughout: under lock_
  sleepers_.store(sleepers() - 1, kRelaxed);
  retired_.store(retired_.load(kRelaxed) - (worker.retired ? 1 : 0), kRelaxed);
  if (worker.prev_sleeper != nullptr) {
    worker.prev_sleeper->next_sleeper = worker.next_sleeper;
  } else {
    list_of(worker) = worker.next_sleeper;
  }
  if (worker.next_sleeper != nullptr) {
    worker.next_sleeper->prev_sleeper = worker.prev_sleeper;
  }
  if (timekeeper() == &worker) {
    worker.kept_time = true;
    timekeeper_.store(no_heir ? nullptr : first_,
                      kRelaxed);  // relaxed: whoever unlinks fences, [timers.4]
  }
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
