// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sched/poller.h"

#include <mutex>

#include "os/futex.h"
#include "sched/scheduler.h"

namespace hamgam::inline HAMGAM_ABI::detail {

constinit Poller g_poller;

namespace {

constinit SpinLock g_opening;

}  // namespace

int Poller::use(OnEvent on_event) noexcept {
  if (HAMGAM_LIKELY(in_use())) {
    return 0;
  }
  std::lock_guard const guard(g_opening);
  if (in_use_.load(kRelaxed)) {  // relaxed: under the lock
    return 0;
  }
  if (int const error = epoll_.open(); error != 0) {
    return error;
  }
  on_event_ = on_event;
  in_use_.store(true, kRelease);  // [poller.4] release, pairs with [poller.2]
  full_fence();                   // [poller.1] seq_cst, pairs with [timers.2]
  if (Worker* keeper = g_scheduler.idle.timekeeper()) {
    tell(*keeper);
  }
  return 0;
}

void Poller::begin_wait() noexcept {
  ensure_started();
  waiters_.fetch_add(1, kRelaxed);  // relaxed: a number; whoever falls asleep looks anyway
  // A worker looks when it has nothing else to do; with none awake or keeping time, one must be
  // woken.
  if (this_worker() == nullptr && is_neglected() && g_scheduler.idle.should_wake()) {
    wake_worker();
  }
}

void Poller::end_wait() noexcept {
  // relaxed: fenced by the next; a worker that is awake has roused the monitor
  if (waiters_.fetch_sub(1, kRelaxed) == 1 && this_worker() == nullptr) {
    tell_of_lost_hope();
  }
}

bool Poller::is_neglected() const noexcept {
  return has_waiters() && g_scheduler.idle.timekeeper() == nullptr;  // unfenced: looked at again
}

void Poller::dispatch(const PollEvent* events, int count) const noexcept {
  for (int i = 0; i < count; ++i) {
    if (events[i].data != Epoll::kInterrupt) {
      on_event_(events[i]);
    }
  }
}

void Poller::leave(const Worker& worker) noexcept {
  inside_.store(false, kRelaxed);  // relaxed: fenced below
  full_fence();                    // [poller.6] seq_cst, pairs with [poller.5]
  Worker* const keeper = g_scheduler.idle.timekeeper();
  if (keeper != nullptr && keeper != &worker) {
    tell(*keeper);
  }
}

bool Poller::keep(Worker& worker, Nanos deadline) noexcept {
  std::uint32_t wake = Worker::kAsleep;
  // [poller.5] seq_cst, pairs with [poller.6]: after it became the timekeeper
  if (inside_.exchange(true, kSeqCst)) {
    futex_wait(worker.wake, Worker::kAsleep, deadline);  // until the other one tells us
    return false;
  }
  // [wake.3] acquire, pairs with [timers.5]: whoever told us before, too
  if (!worker.wake.compare_exchange_strong(wake, Worker::kPolling, kAcquire, kRelaxed)) {
    leave(worker);
    return false;
  }
  PollEvent events[kPollBatch];
  int const count = epoll_.wait(events, deadline);
  wake = Worker::kPolling;
  // relaxed: if somebody wrote the word meanwhile the caller looks at it
  worker.wake.compare_exchange_strong(wake, Worker::kAsleep, kRelaxed, kRelaxed);
  leave(worker);
  if (count == 0 || (count == 1 && events[0].data == Epoll::kInterrupt)) {
    return false;
  }
  bool const awake = g_scheduler.idle.wake_self(worker, true);
  if (awake) {
    // relaxed: nobody else changes the slot of a worker that is off the list and holds none
    worker.slot.store(Worker::kHeld, kRelaxed);
    hand_timers_over();
    rouse_monitor();
    looked_.store(now(), kRelaxed);  // relaxed: a heuristic
  }
  dispatch(events, count);
  return awake;
}

bool Poller::look(Nanos age) noexcept {
  if (!in_use() || !is_neglected()) {
    return false;
  }
  Nanos const time = now();
  Nanos last = looked_.load(kRelaxed);  // relaxed: the CAS checks it
  // relaxed: only one need look
  if (time - last < age || !looked_.compare_exchange_strong(last, time, kRelaxed, kRelaxed)) {
    return false;
  }
  PollEvent events[kPollBatch];
  int const count = epoll_.look(events);
  bool found = false;
  for (int i = 0; i < count; ++i) {
    if (events[i].data == Epoll::kInterrupt) {
      epoll_.interrupt();  // it was another one's
    } else {
      found = true;
    }
  }
  dispatch(events, count);
  return found;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
