// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sched/timer_heap.h"

#include <algorithm>
#include <mutex>

#include "os/thread.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {
constexpr std::size_t kArity = 4;
}  // namespace

bool TimerHeap::add(Timer& timer, Nanos when) {
  std::lock_guard const guard(lock_);
  timer.heap = this;
  // relaxed throughout: under lock_
  if (timer.phase.load(kRelaxed) == Timer::kFiring) {
    timer.again = when;
    return false;  // run_due sees to it
  }
  if (timer.phase.load(kRelaxed) == Timer::kQueued) {
    erase(timer.place);
  }
  insert(timer, when);
  return entries_.front().timer == &timer;
}

// Throws std::bad_alloc, and then nothing has changed.
void TimerHeap::insert(Timer& timer, Nanos when) {
  TsanIgnore const ignore;
  entries_.emplace_back();
  timer.when = when;
  timer.phase.store(Timer::kQueued, kRelaxed);  // relaxed: under lock_
  sift_up(entries_.size() - 1, {when, &timer});
  publish_earliest();
}

bool TimerHeap::withdraw(Timer& timer) noexcept {
  std::lock_guard const guard(lock_);
  timer.again = kForever;
  // relaxed throughout: under lock_
  if (timer.phase.load(kRelaxed) != Timer::kQueued) {
    return false;
  }
  erase(timer.place);
  timer.phase.store(Timer::kIdle, kRelaxed);
  publish_earliest();
  return true;
}

bool TimerHeap::remove(Timer& timer) noexcept {
  bool const removed = withdraw(timer);
  for (;;) {
    // [timer.1] acquire, pairs with [timer.2]: it is over
    std::uint32_t const phase = timer.phase.load(kAcquire);
    if (phase == Timer::kIdle) {
      return removed;
    }
    if (phase == Timer::kQueued) {  // it has added itself again
      withdraw(timer);
      continue;
    }
    spin_pause();
    yield_thread();
  }
}

std::size_t TimerHeap::run_due(Nanos time) noexcept {
  std::size_t fired = 0;
  if (earliest() > time) {
    return fired;
  }
  lock_.lock();
  while (!entries_.empty() && entries_.front().when <= time) {
    Timer& timer = *entries_.front().timer;
    erase(0);
    timer.again = kForever;
    timer.phase.store(Timer::kFiring, kRelaxed);  // relaxed: under lock_
    publish_earliest();
    lock_.unlock();
    timer.fire(timer);
    ++fired;
    lock_.lock();
    if (timer.again != kForever) {
      insert(timer, timer.again);
    } else {
      // [timer.2] release, pairs with [timer.1]. The last touch: the timer may be gone now.
      timer.phase.store(Timer::kIdle, kRelease);
    }
  }
  lock_.unlock();
  return fired;
}

void TimerHeap::place(std::size_t at, Entry entry) noexcept {
  entries_[at] = entry;
  entry.timer->place = at;
}

void TimerHeap::sift_up(std::size_t at, Entry entry) noexcept {
  while (at > 0) {
    std::size_t const parent = (at - 1) / kArity;
    if (entries_[parent].when <= entry.when) {
      break;
    }
    place(at, entries_[parent]);
    at = parent;
  }
  place(at, entry);
}

void TimerHeap::sift_down(std::size_t at, Entry entry) noexcept {
  for (;;) {
    std::size_t const first = at * kArity + 1;
    if (first >= entries_.size()) {
      break;
    }
    std::size_t const last = std::min(first + kArity, entries_.size());
    std::size_t least = first;
    for (std::size_t child = first + 1; child < last; ++child) {
      if (entries_[child].when < entries_[least].when) {
        least = child;
      }
    }
    if (entry.when <= entries_[least].when) {
      break;
    }
    place(at, entries_[least]);
    at = least;
  }
  place(at, entry);
}

void TimerHeap::erase(std::size_t at) noexcept {
  Entry const last = entries_.back();
  entries_.pop_back();
  if (at == entries_.size()) {
    return;
  }
  if (at > 0 && last.when < entries_[(at - 1) / kArity].when) {
    sift_up(at, last);
  } else {
    sift_down(at, last);
  }
}

void TimerHeap::publish_earliest() noexcept {
  // relaxed: under lock_; readers take it for a hint
  earliest_.store(entries_.empty() ? kForever : entries_.front().when, kRelaxed);
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
