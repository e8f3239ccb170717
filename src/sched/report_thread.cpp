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
  self->thread_.store(thread, kRelease);  // [report.3] release, pairs with [report.4]
  for (;;) {
    thread->begin_sleep();
    full_fence();  // [report.2] seq_cst, pairs with [report.1]
    if (!self->work_(self->argument_)) {
      (void)thread->sleep(is_forked_child() ? kForkedNap : kForever);
    }
  }
}

bool ReportThread::ask() noexcept {
  // relaxed: one starts it
  if (!started_.exchange(true, kRelaxed) && !start_thread(name_, &main, this, Signals::kFaults)) {
    started_.store(false, kRelaxed);  // relaxed: the next one tries again
    return false;
  }
  full_fence();  // [report.1] seq_cst, pairs with [report.2]
  // [report.4] acquire, pairs with [report.3]: the record
  if (ThreadRecord* const thread = thread_.load(kAcquire)) {
    thread->wake();
  }
  return true;
}

void ReportThread::forget() noexcept {
  // relaxed throughout: there is one thread
  started_.store(false, kRelaxed);
  thread_.store(nullptr, kRelaxed);
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
