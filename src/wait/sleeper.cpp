// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "wait/sleeper.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

void end_sleep(Sleeper& sleeper) noexcept {
  if (Goroutine* g = sleeper.goroutine) {
    ready(g);
    return;
  }
  sleeper.thread->wake();  // the record outlives the sleeper, who may be gone before this returns
}

}  // namespace

void interrupt(Sleeper& sleeper, Wake how) noexcept {
  if (sleeper.take_out(sleeper, how)) {
    end_sleep(sleeper);
  }
}

void wake(Sleeper& sleeper) noexcept {
  sleeper.outcome = Wake::kWoken;
  end_sleep(sleeper);
}

Wake sleep_thread(Sleeper& sleeper, const char* reason, const void* object) noexcept {
  SleepingWorker const sleeps;
  ThreadWait const waits(*sleeper.thread, reason, object);
  if (!sleeper.thread->sleep(sleeper.deadline) && !sleeper.take_out(sleeper, Wake::kTimedOut)) {
    (void)sleeper.thread->sleep(kForever);  // a waker got in first and is about to set the word
  }
  return sleeper.outcome;
}

void sleep_for_ever(const char* reason) noexcept {
  Sleeper me(nullptr);
  for (;;) {
    if (me.goroutine != nullptr) {
      park(nullptr, nullptr, reason);
    } else {
      me.thread->begin_sleep();
      (void)sleep_thread(me, reason);
    }
  }
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
