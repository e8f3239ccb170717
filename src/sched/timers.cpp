// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <algorithm>

#include "os/futex.h"
#include "sched/poller.h"
#include "sched/scheduler.h"

// Whose turn it is to keep time. Each worker fires its own timers at scheduling points. Besides,
// one sleeping worker is the timekeeper: it sleeps no longer than until the earliest timer of all;
// while none sleeps the monitor does it. Whoever adds an earliest timer looks whether it will be
// noticed:
//   [timers.1] adder:   store earliest_;        fence; load timekeeper, then its or the monitor's
//                                                      looks_at
//   [timers.2] keeper:  store its looks_at;     fence; load earliest_
//   [timers.3] monitor: store monitor_looks_at; fence; load timekeeper, and earliest_ if there is
//                                                      none
//   [timers.4] whoever takes the keeper off: store timekeeper; fence;
//              load earliest_, then tell the heir, who does as in 2, or the monitor
// Each worker has a looks_at of its own, for ever until it has looked as the keeper: an heir that
// has not yet is told of every timer. (One that all shared was overwritten by a former keeper that
// had been taken off between its look and its store: the heir slept, and later timers were lost.)

namespace hamgam::inline HAMGAM_ABI::detail {

Nanos earliest_timer() noexcept {
  Nanos earliest = g_scheduler.thread_timers.value.earliest();
  g_places.for_each(
      [&](Worker& worker) { earliest = std::min(earliest, worker.timers.earliest()); });
  return earliest;
}

std::size_t count_timers() noexcept {
  std::size_t count = g_scheduler.thread_timers.value.size();
  g_places.for_each([&](Worker& worker) { count += worker.timers.size(); });
  return count;
}

bool timers_firing() noexcept {
  bool firing = g_scheduler.thread_timers.value.fires();
  g_places.for_each([&](Worker& worker) { firing = firing || worker.timers.fires(); });
  return firing;
}

bool timers_at_rest() noexcept {
  bool rest = g_scheduler.thread_timers.value.at_rest();
  g_places.for_each([&](const Worker& worker) { rest = rest && worker.timers.at_rest(); });
  return rest;
}

void tell(Worker& keeper) noexcept {
  std::uint32_t wake = keeper.wake.load(kRelaxed);  // relaxed: the CAS checks it
  do {
    // It is awake, or it was when the word was written: then it has fenced since, [timers.2], and
    // we before, so it has seen what we tell.
    if (wake == Worker::kGranted) {
      return;
    }
    // [timers.5] release, pairs with [wake.1]: that it keeps time now. A change even if it was told
    // already and has not looked yet: what it was told then may be less.
  } while (!keeper.wake.compare_exchange_weak(wake, Worker::kLookAgain, kRelease, kRelaxed));
  if (wake == Worker::kAsleep) {
    futex_wake(keeper.wake, 1);
  } else if (wake == Worker::kPolling) {
    g_poller.interrupt();
  }
}

namespace {

void tell_monitor(Nanos when) noexcept {
  // relaxed: fenced by the caller, [timers.1]
  if (when < g_scheduler.monitor_looks_at.load(kRelaxed)) {
    poke_monitor();
  }
}

}  // namespace

void hand_timers_over() noexcept {
  full_fence();  // [timers.4] seq_cst, pairs with [timers.1] and [timers.3]
  Nanos const when = earliest_timer();
  if (when == kForever && !g_poller.in_use()) {
    return;
  }
  if (Worker* keeper = g_scheduler.idle.timekeeper()) {
    tell(*keeper);
  } else {
    tell_monitor(when);
  }
}

// Is somebody awake or asleep who will notice in time?
void tell_of_timers(Nanos when) noexcept {
  full_fence();  // [timers.1] seq_cst, pairs with [timers.2] and [timers.3]
  if (Worker* keeper = g_scheduler.idle.timekeeper()) {
    // relaxed: fenced above
    if (when < keeper->looks_at.load(kRelaxed)) {
      tell(*keeper);
    }
  } else {
    tell_monitor(when);
  }
}

std::size_t run_due_timers(TimerHeap& heap, Nanos time) noexcept {
  std::size_t const fired = heap.run_due(time);
  if (fired > 0) {
    // Some may have been added again.
    if (Nanos const when = heap.earliest(); when != kForever) {
      tell_of_timers(when);
    }
  }
  return fired;
}

std::size_t run_due_timers(Nanos time) noexcept {
  std::size_t fired = run_due_timers(g_scheduler.thread_timers.value, time);
  g_places.for_each([&](Worker& worker) { fired += run_due_timers(worker.timers, time); });
  return fired;
}

void add_timer(Timer& timer, Nanos when) {
  Worker* const w = this_worker();
  if (w == nullptr) {
    ensure_started();
  }
  TimerHeap& mine = w != nullptr ? w->timers : g_scheduler.thread_timers.value;
  if (mine.add(timer, when)) {
    tell_of_timers(when);
    // With no worker awake or keeping time, one must be woken to do that.
    if (w == nullptr && g_scheduler.idle.timekeeper() == nullptr &&
        g_scheduler.idle.should_wake()) {
      wake_worker();
    }
  }
}

namespace {

// Most channels of timers are stopped before anybody waits for them.
bool was_added(const Timer& timer) noexcept {
  return timer.heap.load(kRelaxed) != nullptr;  // relaxed: set once, by the first to add it
}

bool removed(bool before_it_fired) noexcept {
  if (before_it_fired && this_worker() == nullptr) {
    tell_of_lost_hope();
  }
  return before_it_fired;
}

}  // namespace

bool remove_timer(Timer& timer) noexcept {
  return was_added(timer) && removed(TimerHeap::remove(timer));
}

bool withdraw_timer(Timer& timer) noexcept {
  return was_added(timer) && removed(TimerHeap::withdraw(timer));
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
