// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// The poller: who asks the kernel which descriptors are ready. What a descriptor's event means is
// the business of the layer net, which gives a function for it.
//
// Who looks, once a descriptor has been waited for (in_use):
//   the timekeeper   sleeps in epoll_pwait2 instead of on its futex. It runs itself what it finds,
//                    if there is a slot for it; then nobody keeps time until a worker falls asleep,
//                    most often this one. (An heir would be woken for each event.)
//   busy workers     if nobody keeps time: at the decision at which the global queue goes first,
//                    unless somebody has just looked
//   the monitor      likewise, if nobody has for long: it would take from busy workers what they
//                    find soon, many at once. If a worker sleeps and has a slot to take, it becomes
//                    the keeper.
//
// No wake-up of the timekeeper is lost, for its word (Worker::wake) says where it sleeps:
//   kAsleep -> kPolling             by itself, before epoll_pwait2; fails if it was told meanwhile
//   kPolling -> kLookAgain, kGranted  by a waker, who sees that it must write to the eventfd
//   kPolling -> kAsleep             by itself, afterwards
// The eventfd is edge-triggered and never read: each write is an event for whoever waits, or next
// does. So only one may wait there, or the wrong one would be woken: an heir that comes while the
// former keeper has not left sleeps on its futex, and who leaves tells the keeper there is. A
// worker that looks without waiting may take the event of another one's interruption; it writes
// again. One that comes too late only makes a keeper look once more.
//   [poller.5] heir:   (is the timekeeper); RMW inside_; sleeps if it was set
//   [poller.6] leaver: clear inside_; fence; load timekeeper, which it tells
//   [poller.1] first user: store in_use_;  fence; load timekeeper, which it tells
//   (The keeper has set its looks_at and fenced, [timers.2], before it loads in_use_.)
// test/model/poller.py searches all interleavings.
//
// Nothing of this costs anything while no descriptor was ever waited for, but for relaxed loads at
// places that are about to sleep.
//
// exit(): events only make goroutines runnable, which then do not run. fork(): the child shares the
// epoll with its parent; it must not wait there (ensure_started) nor take anything out of it.

#include <cstdint>

#include "base/cache_line.h"
#include "hamgam/detail/atomic.h"
#include "os/epoll.h"

namespace hamgam::inline HAMGAM_ABI::detail {

struct Worker;

class Poller {
 public:
  using OnEvent = void (*)(const PollEvent& event) noexcept;  // short; must not block

  // Before the first descriptor is registered. 0, or the error.
  int use(OnEvent on_event) noexcept;

  [[nodiscard]] const Epoll& epoll() const noexcept { return epoll_; }

  // Around a sleep that an event is to end: somebody looks meanwhile, and nobody takes the sleeper
  // for deadlocked.
  void begin_wait() noexcept;
  void end_wait() noexcept;

  // For sched/.
  [[nodiscard]] bool in_use() const noexcept {
    return in_use_.load(kAcquire);  // [poller.2] acquire, pairs with [poller.4]: the descriptors
  }
  [[nodiscard]] bool has_waiters() const noexcept {
    return waiters_.load(kRelaxed) != 0;  // relaxed: a number
  }
  [[nodiscard]] bool is_neglected() const noexcept;  // somebody waits, and nobody looks
  // The keeper, until the deadline or until it is told; true if it has taken a slot and is awake.
  bool keep(Worker& worker, Nanos deadline) noexcept;
  // If it is neglected, and the last look was that long ago. True if there was anything.
  static constexpr Nanos kJustNow = 50'000;     // a look costs about one
  static constexpr Nanos kLong = kMillisecond;  // a batch of a busy worker is shorter, mostly
  bool look(Nanos age) noexcept;
  void interrupt() const noexcept { epoll_.interrupt(); }

 private:
  void leave(const Worker& worker) noexcept;
  void dispatch(const PollEvent* events, int count) const noexcept;

  Epoll epoll_;
  OnEvent on_event_ = nullptr;
  atomic<bool> in_use_{false};
  atomic<bool> inside_{false};  // a keeper is, or a former one that was told and has not left yet
  atomic<Nanos> looked_{0};     // when somebody did last
  alignas(kCacheLine) atomic<std::uint32_t> waiters_{0};
};

extern constinit Poller g_poller;

}  // namespace hamgam::inline HAMGAM_ABI::detail
