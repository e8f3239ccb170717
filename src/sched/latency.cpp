// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sched/latency.h"

#include "sched/held_mutexes.h"
#include "sched/histogram.h"
#include "sched/scheduler.h"

namespace hamgam::inline HAMGAM_ABI::detail {

constinit SharedHistogram g_scheduler_latency;
constinit SharedHistogram g_lock_waits;

namespace {

// In 32 bits there is room in a record's three lines, and time enough: some two minutes; longer
// latencies are taken for shorter ones.
constexpr int kUnit = 5;  // 32 ns

std::uint32_t ready_stamp() noexcept {
  auto const stamp = static_cast<std::uint32_t>(static_cast<std::uint64_t>(now()) >> kUnit);
  return stamp != 0 ? stamp : 1;
}

bool counts_latency() noexcept {
  // relaxed: sooner or later
  return (g_coarse_clock.watched.load(kRelaxed) & kWatchLatency) != 0;
}

void note_ready(Goroutine& g) noexcept {
  if (counts_latency()) {
    g.ready_at.store(ready_stamp(), kRelaxed);  // relaxed: ours
  }
}

void look_for_mutexes(const Goroutine& g, const char* why) noexcept {
  // relaxed: sooner or later
  if ((g_coarse_clock.watched.load(kRelaxed) & kWatchMutexes) != 0 && g.pinned == 0) {
    look_for_held_mutexes(g, why);
  }
}

}  // namespace

void watch_switch(Worker& w, const Goroutine& from, Goroutine& to, const char* why) noexcept {
  if (tracing()) {
    trace_switch(w, from, to, why);
  }
  if (&from != &w.base && why != kTraceEnded) {
    look_for_mutexes(from, why);
  }
  // relaxed throughout: ours
  if (std::uint32_t const since = to.ready_at.load(kRelaxed); since != 0) {
    to.ready_at.store(0, kRelaxed);
    g_scheduler_latency.note(static_cast<Nanos>(ready_stamp() - since) << kUnit, w.index);
  }
}

void watch_end(const Goroutine& g) noexcept { look_for_mutexes(g, kTraceEnded); }

void watch_wake(Goroutine& g) noexcept {
  if (tracing()) {
    trace_wake(g);
  }
  note_ready(g);
}

void watch_spawn(Goroutine& g) noexcept {
  if (tracing()) {
    trace_spawn(g);
  }
  note_ready(g);
}

void count_latency(bool on) noexcept {
  if (!on) {
    g_coarse_clock.watched.fetch_and(~kWatchLatency, kRelaxed);  // relaxed: sooner or later
    return;
  }
  // What is left of an earlier count, of those that were run when there was none.
  for_each_record([](Goroutine& g, void*) { g.ready_at.store(0, kRelaxed); },  // relaxed: as said
                  nullptr);
  g_coarse_clock.watched.fetch_or(kWatchLatency, kRelaxed);  // relaxed: sooner or later
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
