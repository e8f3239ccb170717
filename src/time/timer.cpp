// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <algorithm>
#include <mutex>

#include "hamgam/detail/goroutine.h"
#include "hamgam/go.h"
#include "hamgam/time.h"
#include "os/spin_lock.h"
#include "sched/park.h"
#include "time/timer_chan.h"

namespace hamgam::inline HAMGAM_ABI::detail {

ChanCore* new_timer_chan(std::int64_t due, std::int64_t period) {
  return TimerChan::make(due, period);
}

bool stop_timer_chan(ChanCore* chan) noexcept { return TimerChan::of(*chan).stop(); }

bool reset_timer_chan(ChanCore* chan, std::int64_t due, std::int64_t period) {
  return TimerChan::of(*chan).reset(due, period);
}

// An after_func. References: the handle's, the queue's while the scheduler's timer is in it, and
// that of each goroutine that runs the job. Invariant: the queue's reference goes with the one that
// removes the timer, or with its firing, which gives it to the goroutine.
struct FuncTimer : detail::Timer {
  explicit FuncTimer(std::unique_ptr<Job> j) noexcept : job(std::move(j)) {
    fire = [](detail::Timer& timer) noexcept {
      GoroutineHead* const goroutine = try_new_goroutine();
      if (goroutine == nullptr) {
        add_timer(timer, now() + kRetry);
        return;
      }
      auto run = [](void* self) {
        FuncTimerRef const held(static_cast<FuncTimer*>(self));
        tsan_acquire(static_cast<detail::Timer*>(held.get()));
        held->job->run();
      };
      start_goroutine(goroutine, run, &static_cast<FuncTimer&>(timer), nullptr, nullptr);
    };
  }

  // Under `lock`.
  void start(Nanos due) {
    refs.fetch_add(1, kRelaxed);  // relaxed: the caller holds one
    tsan_release(static_cast<detail::Timer*>(this));
    try {
      add_timer(*this, std::min(due, kForever - 1));
    } catch (...) {
      refs.fetch_sub(1, kRelaxed);  // relaxed: not the last, which the caller holds
      throw;
    }
  }

  SpinLock lock;  // held by those who start and remove
  atomic<std::uint32_t> refs{1};
  const std::unique_ptr<Job> job;
};

void DropFuncTimer::operator()(FuncTimer* timer) const noexcept {
  tsan_release(&timer->refs);
  // [timer_func.1] acq_rel, pairs with itself: all use of it is before its end
  if (timer->refs.fetch_sub(1, kAcqRel) == 1) {
    tsan_acquire(&timer->refs);
    remove_timer(*timer);  // it may be about to say that it has fired
    delete timer;
  }
}

FuncTimerRef new_func_timer(std::int64_t due, std::unique_ptr<Job> job) {
  FuncTimerRef timer(new FuncTimer(std::move(job)));
  timer->start(due);
  return timer;
}

bool stop_func_timer(FuncTimer& timer) noexcept {
  FuncTimerRef queued;  // dropped without the lock
  std::lock_guard const guard(timer.lock);
  if (remove_timer(timer)) {
    queued.reset(&timer);
  }
  return queued != nullptr;
}

bool reset_func_timer(FuncTimer& timer, std::int64_t due) {
  FuncTimerRef queued;  // dropped without the lock
  std::lock_guard const guard(timer.lock);
  if (remove_timer(timer)) {
    queued.reset(&timer);
  }
  timer.start(due);  // where it throws, the timer is stopped
  return queued != nullptr;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
