// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sched/report_thread.h"

#include "os/clock.h"
#include "os/fork.h"
#include "os/signals.h"
#include "os/thread.h"
#include "sched/threads.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {
constexpr Nanos kForkedNap = 1000 * kMillisecond;  // in the child of a fork no sleep is for ever
}  // namespace

void ReportThread::main(void* raw) {
  TsanIgnore const ignore;
  auto* const self = static_cast<ReportThread*>(raw);
  ThreadRecord* const thread = hold_thread_record();
  thread->reports.store(true, kRelaxed);  // relaxed: for good
  self->thread_.store(thread, kRelaxed);  // relaxed: published with kSleeps
  for (;;) {
    self->state_.exchange(kWorks, kAcqRel);  // [report.1] acq_rel, pairs with [report.2]
    while (self->work_(self->argument_)) {
    }
    thread->begin_sleep();
    std::uint32_t state = kWorks;
    // [report.3] release, pairs with [report.2]: the sleep. relaxed: it looks again
    if (!self->state_.compare_exchange_strong(state, kSleeps, kRelease, kRelaxed)) {
      continue;
    }
    while (!thread->sleep(is_forked_child() ? kForkedNap : kForever)) {
      state = kSleeps;
      // relaxed: nobody else has it
      if (self->state_.compare_exchange_strong(state, kWorks, kRelaxed, kRelaxed)) {
        break;  // else somebody is about to end the sleep
      }
    }
  }
}

bool ReportThread::ask() noexcept {
  // relaxed: one starts it
  if (!started_.exchange(true, kRelaxed) && !start_thread(name_, &main, this, Signals::kFaults)) {
    started_.store(false, kRelaxed);  // relaxed: the next one tries again
    return false;
  }
  // [report.2] acq_rel, pairs with [report.1], the report, and [report.3]
  if (state_.exchange(kAsked, kAcqRel) == kSleeps) {
    thread_.load(kRelaxed)->wake();  // relaxed: [report.3] published it
  }
  return true;
}

void ReportThread::forget() noexcept {
  // relaxed throughout: there is one thread
  started_.store(false, kRelaxed);
  state_.store(kWorks, kRelaxed);
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
