// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// The switch between goroutines, inline because it is the heart of every park.

#include "sched/hold.h"
#include "sched/latency.h"
#include "sched/scheduler.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// Runs what the goroutine that just left asked for.
HAMGAM_INLINE void run_after_switch(Worker& w) noexcept {
  if (AfterSwitch after = w.after) {
    w.after = nullptr;
    after(w.after_argument);
  }
}

// Gives the goroutine a stack if it has none. False: there is no memory for one, and the goroutine
// waits among the starved; or somebody looks at its stack, and will make it runnable again.
HAMGAM_INLINE bool bind(Worker& w, Goroutine& g) noexcept {
  if (HAMGAM_UNLIKELY(g.stack == nullptr)) {
    return bind_slow(w, g);
  }
  return claim(g);
}

// Tells of the ends that were kept back; before anything that may take this worker's goroutine off
// it.
inline void tell_ends(Worker& w) noexcept {
  unsigned const count = w.untold_ends;
  w.untold_ends = 0;
  w.untold(w.untold_subject, count);
}

// From `from`, which runs on w, to `to`, which is bound. Returns when somebody resumes `from`, with
// the worker it is on then.
template <bool kEnding = false>
HAMGAM_INLINE Worker* switch_to(Worker* w, Goroutine& from, Goroutine& to) noexcept {
  if (watched()) {
    // relaxed: ours
    watch_switch(*w, from, to, kEnding ? kTraceEnded : from.wait_reason.load(kRelaxed));
  }
  w->current.store(&to, kRelaxed);  // relaxed: for the monitor and dumps
  auto* now_on = static_cast<Worker*>(switch_fiber<kEnding>(w->thread, from.fiber, to.fiber, w));
  run_after_switch(*now_on);
  return now_on;
}

// The next goroutine of this worker's own queue.
HAMGAM_INLINE Goroutine* take_local(Worker& w) noexcept {
  // Two goroutines that wake each other would keep the ring waiting for ever.
  if (HAMGAM_LIKELY(w.next_streak < kFairTicks)) {
    if (Goroutine* g = w.queue.take_next()) {
      ++w.next_streak;
      return g;
    }
  }
  w.next_streak = 0;
  if (Goroutine* g = w.queue.pop()) {
    return g;
  }
  return w.queue.take_next();
}

// A scheduling point: the next goroutine, or null if the base must decide, because there is none
// here, it is the shared queues' turn, or the worker has lost its slot.
HAMGAM_INLINE Goroutine* next_local(Worker& w) noexcept {
  std::uint32_t const tick = w.tick.load(kRelaxed) + 1;  // relaxed: ours
  w.tick.store(tick, kRelaxed);                          // relaxed: for the monitor
  // relaxed: the monitor may take the slot at any moment, we notice now or at the next point
  if (HAMGAM_UNLIKELY(w.slot.load(kRelaxed) != Worker::kHeld || tick % kFairTicks == 0)) {
    return nullptr;
  }
  return take_local(w);
}

// Is it the 1st, 2nd, 4th, 8th ... time?
HAMGAM_INLINE bool worth_a_thief(std::uint32_t offers) noexcept {
  return (offers & (offers - 1)) == 0;
}

// A goroutine was put into the queue of w, the calling thread's worker: is somebody to be woken to
// take it? `many`: others wait there too. (idle.h)
HAMGAM_INLINE void offer(Worker& w, bool many) noexcept {
  if (HAMGAM_UNLIKELY(g_scheduler.idle.should_wake()) && (many || worth_a_thief(++w.offers))) {
    wake_worker();
  }
}

// Makes g the next one to run on w, the calling thread's worker.
HAMGAM_INLINE void push_next(Worker& w, Goroutine* g) noexcept {
  // relaxed: as in next_local
  if (HAMGAM_UNLIKELY(w.slot.load(kRelaxed) != Worker::kHeld)) {
    push_global(g);
    return;
  }
  if (Goroutine* former = w.queue.exchange_next(g)) {
    push_ring(w, former);
    offer(w, true);
  } else {
    offer(w, false);
  }
}

// A new goroutine: the next one if it is the only one here, else behind the others. (Woken ones go
// before: the data they wait for is hot.)
HAMGAM_INLINE void push_new(Worker& w, Goroutine* g) noexcept {
  if (!w.queue.has_next() && w.queue.ring_empty()) {
    push_next(w, g);
    return;
  }
  push_ring(w, g);
  offer(w, true);
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
