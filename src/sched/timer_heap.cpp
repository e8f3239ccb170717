// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sched/timer_heap.h"

#include <algorithm>
#include <mutex>
#include <new>
#include <utility>

#include "os/fork.h"
#include "os/thread.h"
#include "sched/exit.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {
constexpr std::size_t kArity = 4;
}  // namespace

HAMGAM_INLINE TimerHeap* TimerHeap::lock_heap_of(Timer& timer) noexcept {
  // relaxed throughout: under the lock of the heap that it names it stays
  for (;;) {
    TimerHeap* const heap = timer.heap.load(kRelaxed);
    if (heap == nullptr) {
      return nullptr;
    }
    heap->lock_.lock();
    if (timer.heap.load(kRelaxed) == heap) {
      return heap;
    }
    heap->lock_.unlock();
  }
}

void TimerHeap::grow(std::size_t wanted) {
  TsanIgnore const ignore;
  entries_.reserve(std::max(wanted, 2 * entries_.capacity()));
}

// Room for so many beside those that are in and those that fire. Throws std::bad_alloc.
HAMGAM_INLINE void TimerHeap::reserve(std::size_t more) {
  std::size_t const wanted = entries_.size() + firing() + more;
  if (HAMGAM_UNLIKELY(wanted > entries_.capacity())) {
    grow(wanted);
  }
}

bool TimerHeap::add(Timer& timer, Nanos when) {
  TimerHeap* heap = lock_heap_of(timer);
  if (heap == nullptr || heap->closed_) {
    if (heap != nullptr) {
      heap->lock_.unlock();  // none is in a closed one
    }
    heap = this;
    lock_.lock();
    timer.heap.store(this, kRelaxed);  // relaxed: under lock_
  }
  std::lock_guard const guard(heap->lock_, std::adopt_lock);
  // relaxed throughout: under the lock
  if (timer.phase.load(kRelaxed) == Timer::kFiring) {
    timer.again = when;
    return false;  // run_due sees to it
  }
  heap->reserve(1);
  if (timer.phase.load(kRelaxed) == Timer::kQueued) {
    heap->erase(timer.place);
  }
  heap->insert(timer, when);
  return heap->entries_.front().timer == &timer;
}

// There is room.
void TimerHeap::insert(Timer& timer, Nanos when) noexcept {
  TsanIgnore const ignore;
  entries_.emplace_back();
  timer.when = when;
  timer.phase.store(Timer::kQueued, kRelaxed);  // relaxed: under lock_
  sift_up(entries_.size() - 1, {when, &timer});
  publish_earliest();
}

bool TimerHeap::withdraw(Timer& timer) noexcept {
  TimerHeap* const heap = lock_heap_of(timer);
  if (heap == nullptr) {
    return false;
  }
  std::lock_guard const guard(heap->lock_, std::adopt_lock);
  return heap->withdraw_locked(timer);
}

bool TimerHeap::withdraw_locked(Timer& timer) noexcept {
  bool const was_added_again = std::exchange(timer.again, kForever) != kForever;
  // relaxed throughout: under lock_
  if (timer.phase.load(kRelaxed) != Timer::kQueued) {
    return was_added_again;  // while it fires; what it does there was not for this
  }
  erase(timer.place);
  timer.phase.store(Timer::kIdle, kRelaxed);
  publish_earliest();
  return true;
}

bool TimerHeap::remove(Timer& timer) noexcept {
  bool removed = withdraw(timer);
  for (;;) {
    // [timer.1] acquire, pairs with [timer.2]: it is over
    std::uint32_t const phase = timer.phase.load(kAcquire);
    if (phase == Timer::kIdle) {
      return removed;
    }
    if (phase == Timer::kQueued) {  // it has added itself again
      removed = withdraw(timer);
      continue;
    }
    if (is_forked_child()) {
      refuse_in_child();  // who fires it is not there
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
  while (!entries_.empty() && entries_.front().when <= time && !exiting()) {
    Timer& timer = *entries_.front().timer;
    // relaxed throughout: under lock_; publish_earliest publishes begun_
    begun_.store(begun_.load(kRelaxed) + 1, kRelaxed);
    erase(0);
    timer.again = kForever;
    timer.phase.store(Timer::kFiring, kRelaxed);
    publish_earliest();
    lock_.unlock();
    {
      // Whoever keeps time must not become the one by whom all that wait for it are in order.
      TsanHide const hide;
      TsanNoEdges const no_edges;
      timer.fire(timer);
    }
    ++fired;
    lock_.lock();
    if (timer.again != kForever) {
      insert(timer, timer.again);
    } else {
      // [timer.2] release, pairs with [timer.1]. The last touch: the timer may be gone now.
      timer.phase.store(Timer::kIdle, kRelease);
    }
    // [timer.4] release, pairs with [timer.3]: what it has made runnable
    ended_.store(ended_.load(kRelaxed) + 1, kRelease);
  }
  lock_.unlock();
  return fired;
}

bool TimerHeap::fires() noexcept {
  std::lock_guard const guard(lock_);
  return firing() != 0;
}

std::size_t TimerHeap::size() noexcept {
  std::lock_guard const guard(lock_);
  return entries_.size();
}

bool TimerHeap::close(TimerHeap& heir) noexcept {
  std::lock_guard const guard(lock_);
  if (firing() != 0) {
    return false;
  }
  if (!entries_.empty()) {
    std::lock_guard const guard_heir(heir.lock_);
    try {
      heir.reserve(entries_.size());
    } catch (const std::bad_alloc&) {
      return false;
    }
    for (const Entry& entry : entries_) {
      // relaxed: under both locks
      entry.timer->heap.store(&heir, kRelaxed);
      heir.insert(*entry.timer, entry.when);
    }
    entries_.clear();
    publish_earliest();
  }
  closed_ = true;
  return true;
}

void TimerHeap::open() noexcept {
  std::lock_guard const guard(lock_);
  closed_ = false;
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
  // [timer.6] release, pairs with [timer.5]: that one is being fired
  earliest_.store(entries_.empty() ? kForever : entries_.front().when, kRelease);
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
