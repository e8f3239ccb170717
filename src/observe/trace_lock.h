// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include <cstdint>

#include "hamgam/detail/atomic.h"
#include "os/clock.h"
#include "os/futex.h"
#include "os/thread.h"
#include "sched/death.h"
#include "sched/trace.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// The lock of the trace, which may be held for as long as it takes to write one.
//
// It is a thread's: whoever has it or waits for it is a plain thread, or in a BlockingScope, where
// a goroutine goes on when the others are stopped at the exit. (Rejected: a Mutex, which is handed
// over to a goroutine that was stopped before it ran. Rejected: an InnerMutex, whose holder may not
// wait for the kernel.) Who exits or dies has it next, whoever else waits.
class TraceLock {
 public:
  void lock() noexcept {
    // relaxed: it is only late
    while (urgent_.load(kRelaxed) != 0 || !try_lock()) {
      std::uint32_t const owner = owner_.load(kRelaxed);  // relaxed: looked at again
      if (owner == 0) {
        nap_thread();
      } else {
        (void)futex_wait(owner_, owner);
      }
    }
  }

  [[nodiscard]] bool try_lock() noexcept {
    std::uint32_t nobody = 0;
    // [tracer.1] seq_cst, pairs with [tracer.2]
    bool const locked = owner_.compare_exchange_strong(nobody, me(), kSeqCst, kRelaxed);
    if (locked) {
      tsan_acquire(this);
    }
    return locked;
  }

  // For who exits or dies. False: it is the calling thread's already, or nothing of a trace was
  // written for so long (note_trace_progress).
  [[nodiscard]] bool lock_before_others(Nanos patience) noexcept {
    urgent_.fetch_add(1, kRelaxed);  // relaxed: it is only late
    bool locked = try_lock();
    std::uint32_t progress = trace_progress();
    // relaxed: ours, or another one's
    for (Nanos end = now() + patience; !locked && owner_.load(kRelaxed) != me() && now() < end;) {
      nap_thread();
      if (std::uint32_t const seen = trace_progress(); seen != progress) {
        progress = seen;
        note_telling();  // if it waits who dies
        end = now() + patience;
      }
      locked = try_lock();
    }
    urgent_.fetch_sub(1, kRelaxed);  // relaxed: as it was added
    return locked;
  }

  void unlock() noexcept {
    tsan_release(this);
    owner_.store(0, kSeqCst);  // [tracer.2] seq_cst, pairs with [tracer.1], [tracer.3]
    futex_wake(owner_);
  }

 private:
  static std::uint32_t me() noexcept { return static_cast<std::uint32_t>(thread_id()); }

  atomic<std::uint32_t> owner_{0};  // a thread's number
  atomic<std::uint32_t> urgent_{0};
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
