// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "fiber/stack.h"
#include "hamgam/observe.h"
#include "sched/histogram.h"
#include "sched/scheduler.h"

// Numbers for people. Most are sums of what each worker counts alone; goroutines are looked at one
// after the other, so that no path of theirs has to tell what they do.

namespace hamgam::inline HAMGAM_ABI {

namespace detail {

namespace {

// What the one that the worker runs does, in the numbers of goroutines that `look_at` took for
// runnable.
void look_at(const Worker& worker, observe::Stats& stats) noexcept {
  // relaxed throughout: a glance
  const Goroutine* const g = worker.current.load(kRelaxed);
  if (g == nullptr || g == &worker.base) {
    return;
  }
  bool const keeps_thread = g->wait_reason.load(kRelaxed) == kOnItsThread;
  bool const blocks = worker.in_blocking.load(kRelaxed);
  ++(keeps_thread || blocks ? stats.workers_blocked : stats.workers_running);
  // Some of these may have been missed before, as they were no goroutines yet.
  if (!keeps_thread && stats.runnable != 0) {
    --stats.runnable;
    ++(blocks ? stats.blocking : stats.running);
  }
}

void look_at(const Goroutine& g, observe::Stats& stats) noexcept {
  // relaxed throughout: a glance
  if (g.id.load(kRelaxed) == 0) {
    return;
  }
  ++stats.goroutines;
  ++(g.wait_reason.load(kRelaxed) != nullptr ? stats.waiting : stats.runnable);
  stats.stacks_used += g.stack != nullptr ? 1 : 0;
}

}  // namespace

}  // namespace detail

observe::Stats observe::stats() noexcept {
  using namespace detail;
  TsanIgnore const ignore;  // records change meanwhile
  Stats stats;
  for_each_record([](Goroutine& g, void* raw) { look_at(g, *static_cast<Stats*>(raw)); }, &stats);
  g_places.for_each([&stats](const Worker& worker) { look_at(worker, stats); });
  stats.workers = g_scheduler.threads.load(kRelaxed);  // relaxed: a number
  stats.workers_asleep = g_scheduler.idle.sleepers();
  stats.max_procs = g_scheduler.idle.width();
  // relaxed: a number
  stats.spawned = g_scheduler.started_by_threads.load(kRelaxed) + g_places.started();
  stats.parks = g_places.parks();
  stats.steals = g_places.steals();
  stats.timers = count_timers();
  StuckCounts const stuck = stuck_counts();
  stats.stuck_running = stuck.running;
  stats.stuck_blocked = stuck.blocked;
  stats.stuck_reports = stuck.reports;
  StackTotals const totals = stack_totals();
  stats.stacks = totals.stacks;
  stats.stack_bytes = totals.bytes;
  stats.scheduler_latency = g_scheduler_latency.sum();
  stats.lock_waits = g_lock_waits.sum();
  return stats;
}

}  // namespace hamgam::inline HAMGAM_ABI
