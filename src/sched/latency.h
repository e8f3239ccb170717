// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Who looks at switches, wake-ups and starts: the trace (trace.h), the scheduler's latency, the
// time from which a goroutine can run to when it does, and who looks for mutexes that are held
// meanwhile (held_mutexes.h). Nobody, mostly: that is one word for all.
//
//   g_coarse_clock.watched   of Watch   changed by who begins and ends these
//   Goroutine::ready_at      when it was woken or started, as ready_stamp(); 0: not known
//                            its holder; and all are cleared as the count begins
//
// Those that yield() are not counted: they could have run on.

#include "sched/goroutine.h"
#include "sched/trace.h"

namespace hamgam::inline HAMGAM_ABI::detail {

enum Watch : std::uint32_t { kWatchTrace = 1, kWatchLatency = 2, kWatchMutexes = 4 };

HAMGAM_INLINE bool watched() noexcept {
  return HAMGAM_UNLIKELY(g_coarse_clock.watched.load(kRelaxed) != 0);  // relaxed: sooner or later
}

// What is noted, if watched(). By the thread that does it, before it is done.
HAMGAM_COLD void watch_switch(Worker& w, const Goroutine& from, Goroutine& to,
                              const char* why) noexcept;
// Of a goroutine that ended, before anybody is told of that.
HAMGAM_COLD void watch_end(const Goroutine& g) noexcept;
HAMGAM_COLD void watch_wake(Goroutine& g) noexcept;
HAMGAM_COLD void watch_spawn(Goroutine& g) noexcept;

void count_latency(bool on) noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
