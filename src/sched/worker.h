// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// A worker: an operating system thread that runs goroutines, and the queue it owns for good.
//
// slot     whether the worker counts among the max_procs active ones
//   kHeld -> kNone    by the worker (it goes to sleep, blocks, retires) or by the monitor (it
//                     hogs); an exchange decides who of the two gives it up
//   kNone -> kHeld    by the worker itself, or by the one that wakes it, while it sleeps
// A worker may run on without a slot until its next scheduling point: that is the surplus that
// blocking and hogging leave behind. There it takes a free slot or retires.

#include <cstdint>

#include "base/cache_line.h"
#include "base/random.h"
#include "fiber/fiber.h"
#include "hamgam/detail/atomic.h"
#include "hamgam/detail/worker_slot.h"
#include "os/clock.h"
#include "sched/goroutine.h"
#include "sched/park.h"
#include "sched/run_queue.h"
#include "sched/stuck.h"
#include "sched/timer_heap.h"
#include "sched/trace.h"

namespace hamgam::inline HAMGAM_ABI::detail {

struct ThreadRecord;

struct alignas(kNoSharing) Worker {
  enum Slot : std::uint8_t { kNone, kHeld };
  enum Wake : std::uint32_t { kAsleep, kLookAgain, kGranted, kPolling };

  // Owner only, but for `current` and `tick`, which the monitor and dumps read.
  atomic<Goroutine*> current{nullptr};  // &base while it schedules
  AfterSwitch after = nullptr;
  void* after_argument = nullptr;
  ThreadState thread;
  atomic<std::uint32_t> tick{0};  // scheduling decisions so far
  unsigned next_streak = 0;       // how often runnext came before the ring
  std::uint32_t offers = 0;       // of a goroutine that was alone; see idle.h
  bool searching = false;
  std::uint64_t next_id = 0;
  std::uint64_t end_id = 0;
  OnEnd untold = nullptr;  // ends of goroutines that nobody has been told of; see OnEnd
  void* untold_subject = nullptr;
  unsigned untold_ends = 0;
  StackCache stacks;
  GoroutineCache records;
  Goroutine base;  // stands for the thread's own stack, where the worker looks for work

  // Counters: written by the owner, summed by readers.
  alignas(kCacheLine) atomic<std::uint64_t> started{0};
  atomic<std::uint64_t> ended{0};
  atomic<std::uint64_t> parks{0};
  atomic<std::uint64_t> steals{0};

  unsigned index = 0;    // of its place
  bool retired = false;  // has none; under Places's lock, read by those who take it off a list
  int thread_id = 0;
  ThreadRecord* record = nullptr;  // its thread's, if it can be asked for its stack (look.h)
  Random random{1};

  // Shared.
  RunQueue queue;
  TimerHeap timers;
  alignas(kCacheLine) atomic<Slot> slot{kHeld};
  atomic<std::uint32_t> wake{kAsleep};
  atomic<Nanos> looks_at{kForever};  // as the timekeeper: when it looks at the timers
  atomic<bool> in_blocking{false};   // its goroutine is
  atomic<Nanos> stays_since{0};      // it is, or waits on its thread; by coarse_now()

  // Under Idle's lock.
  Worker* prev_sleeper = nullptr;
  Worker* next_sleeper = nullptr;
  bool asleep = false;
  bool kept_time = false;  // until it was taken off the list

  // The monitor's.
  std::uint32_t seen_tick = 0;
  Nanos seen_since = 0;
  StuckLook stuck;

  // Its own again.
  alignas(kCacheLine) TraceRing trace;

  // The exiting thread's: the CPU time it had; negative: not looked at yet.
  Nanos cpu_seen = -1;
};

// The calling thread's worker, null if it is none. Never keep the answer over a park: a goroutine
// may resume on another thread, and a compiler that knew this as a thread_local would cache its
// address.
#if defined(__x86_64__)
extern "C" {
extern thread_local constinit Worker* hamgam_this_worker
    __attribute__((visibility("hidden"), tls_model("initial-exec")));
}

HAMGAM_INLINE Worker* this_worker() noexcept {
  Worker* worker;
  asm volatile(
      "movq hamgam_this_worker@gottpoff(%%rip), %0\n\t"
      "movq %%fs:(%0), %0"
      : "=r"(worker));
  return worker;
}
#else
HAMGAM_NOINLINE Worker* this_worker() noexcept;
#endif
void set_this_worker(Worker* worker) noexcept;

// What hamgam/detail/worker_slot.h reads.
void set_worker_slot(unsigned slot) noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
