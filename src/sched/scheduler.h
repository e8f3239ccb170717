// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// The scheduler's shared state and its parts, for the files of this folder only; layers above see
// sched/park.h.
//
//   worker_loop.cpp   what a worker does: next goroutine, steal, sleep
//   places.cpp        the workers that are looked at, and those that retired
//   spawn.cpp         a goroutine's birth and end
//   park.cpp          the seam
//   threads.cpp       what is known of threads that are no workers
//   poller.cpp        who looks at descriptors
//   timers.cpp        whose turn it is to keep time
//   exit.cpp          goroutines stop before static objects are destroyed
//   exit_watch.cpp    an exit that waits for what they would have done
//   monitor.cpp       hogs, timers while everybody is busy, deadlock, memory given back
//   run.cpp           run(), max_procs, the start of the runtime
//   blocking.cpp      blocking, and how many may be in it
//   crash.cpp         panic, fatal error, stack overflow: what is printed
//   death.cpp         by whom; others wait for that
//   stats.cpp         numbers for people
//   trace.cpp         who ran where and when
//   readable.cpp      names as people read them

#include <cstddef>
#include <cstdint>

#include "base/immortal.h"
#include "base/intrusive_queue.h"
#include "hamgam/detail/atomic.h"
#include "os/spin_lock.h"
#include "sched/blocking.h"
#include "sched/global_queue.h"
#include "sched/idle.h"
#include "sched/places.h"
#include "sched/worker.h"

namespace hamgam::inline HAMGAM_ABI::detail {

#if defined(HAMGAM_TSAN)
// A goroutine's TSan fiber must be made by the scheduler's own context (bind_stack): all switches
// go through it, and no goroutine inherits another one's stack by falling through to it.
inline constexpr bool kSwitchDirectly = false;
inline constexpr bool kReuseHotStack = false;
#elif defined(HAMGAM_ASAN) || defined(HAMGAM_CONTEXT_UCONTEXT)
inline constexpr bool kSwitchDirectly = true;
inline constexpr bool kReuseHotStack = false;
#else
inline constexpr bool kSwitchDirectly = true;
inline constexpr bool kReuseHotStack = true;
#endif

enum class MonitorSleep : std::uint8_t {
  kLight,    // or awake: looks again within 10 ms
  kDeep,     // until somebody becomes active, or 0.5 s at most
  kHopeful,  // the same, or until somebody takes away what could make that happen; a second, or
             // more
};

inline constexpr std::uint32_t kFairTicks = 61;  // as Go: how often shared work goes first

// A thread is left for each that may run.
inline constexpr std::uint32_t kMaxProcs = 1024;
inline constexpr std::uint32_t kMostBlocking = kMaxWorkers - kMaxProcs;

struct Scheduler {
  GlobalQueue global;
  Idle idle;
  BlockingCalls blocking;

  atomic<std::uint32_t> threads{0};  // of workers, also such as are being started
  atomic<bool> wants_thread{false};  // one was refused while work waited and nobody slept
  atomic<bool> started{false};

  // Goroutines that plain threads started.
  atomic<std::uint64_t> started_by_threads{0};
  atomic<std::uint64_t> next_id{2};  // 1 is run's main goroutine

  // Goroutines that could not run for want of a stack. While there are any, go throws.
  SpinLock starved_lock;
  IntrusiveQueue<Goroutine> starved;
  atomic<bool> has_starved{false};

  Immortal<TimerHeap> thread_timers;  // those that plain threads added

  // The monitor.
  atomic<std::uint32_t> monitor_wake{0};
  atomic<MonitorSleep> monitor_sleep{MonitorSleep::kDeep};  // it may not have been started yet
  atomic<Nanos> monitor_looks_at{kForever};
  atomic<std::uint32_t> outside{0};  // what may wake goroutines from outside; but sockets

  // run().
  atomic<bool> in_run{false};
  atomic<bool> ran{false};          // run was called once
  atomic<bool> main_exited{false};  // by goexit
};

extern constinit Scheduler g_scheduler;

// worker_loop.cpp
bool has_surplus_workers() noexcept;
bool any_work() noexcept;               // that a worker without any could take
void wake_worker() noexcept;            // if idle.should_wake()
void look_again() noexcept;             // and wakes a worker for any_work(); after a fence
void wake_sleeper(Worker& w) noexcept;  // that one, if it sleeps and may run
bool give_up_slot(
    Worker& w) noexcept;  // and wakes another worker if there is work; false: had none
bool bind_slow(Worker& w, Goroutine& g) noexcept;
void push_ring(Worker& w, Goroutine* g) noexcept;
void push_global(Goroutine* g) noexcept;

// Gives everything in the worker's queue to all. By its owner.
void hand_queue_over(Worker& w) noexcept;

// The same for a worker that has no slot and does not come to a scheduling point. By the monitor,
// whose `loot` is empty before and after.
void spread_queue(Worker& victim, RunQueue& loot) noexcept;

// park.cpp
// Leaves this worker's goroutines to the others, and its slot: it is about to block. False: it had
// none.
bool lend_slot(Worker& w) noexcept;
// If there is one; else the worker runs on without until its next scheduling point.
void take_slot_back(Worker& w) noexcept;

// By the base of a new worker, before it runs anybody: a park of its own, from which dumps know
// where in the frames of all others is what they wait for.
void tell_where_notes_are(Worker& w) noexcept;

// timers.cpp
Nanos earliest_timer() noexcept;
std::size_t count_timers() noexcept;              // that are set
void tell_of_timers(Nanos when) noexcept;         // one that is due then was added or moved
bool timers_at_rest() noexcept;                   // none is set and none being fired
bool timers_firing() noexcept;                    // for exit(): once exiting(), none begins
std::size_t run_due_timers(Nanos time) noexcept;  // of all workers and threads
std::size_t run_due_timers(TimerHeap& heap, Nanos time) noexcept;
void tell(Worker& keeper) noexcept;  // that something has changed which the timekeeper looks at
void hand_timers_over() noexcept;    // somebody else must keep time now

// monitor.cpp
void rouse_monitor() noexcept;  // if it sleeps deeply or does not exist yet
void poke_monitor() noexcept;   // in any case; the caller has fenced what it is to see

// A plain thread has taken away something that might have woken goroutines: a timer, a socket or a
// signal that it waited for. If that was the last, a deadlock may be left, though no worker became
// active.
void tell_of_lost_hope() noexcept;

// run.cpp
void ensure_started() noexcept;
std::size_t count_goroutines() noexcept;
const Goroutine* orphan() noexcept;  // in the child of a fork: who has forked, if a goroutine

// crash.cpp
void install_crash_handlers() noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
