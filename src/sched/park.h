// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// THE SEAM: all that the layers above may ask of the scheduler.
//
// A goroutine that waits puts itself where its waker will find it, under some lock, and parks with
// the unlocking of that lock as the after-switch action: nobody can make it runnable while it still
// stands on its stack. Each park is ended by exactly one ready(). Plain threads do not come here;
// they sleep on a futex (wait/sleeper.h). Nor do goroutines that are pinned.

#include "os/clock.h"
#include "sched/timer_heap.h"

namespace hamgam::inline HAMGAM_ABI::detail {

struct Goroutine;
struct GoroutineHead;
struct ThreadRecord;

// Runs on another stack once the goroutine that parked is off its own. Must be short and must not
// park.
using AfterSwitch = void (*)(void* argument) noexcept;

// The running goroutine; null on a plain thread.
Goroutine* current_goroutine() noexcept;

// The same, but null also if it is pinned: who may park.
Goroutine* goroutine_to_park() noexcept;

// While one lives, the running goroutine keeps its thread, for code to which a thread is an
// identity: it sleeps as a plain thread does, and its yields do not switch. Others run on another
// worker meanwhile. Nothing on a plain thread.
class Pin {
 public:
  Pin() noexcept;
  ~Pin();
  Pin(const Pin&) = delete;
  Pin& operator=(const Pin&) = delete;
};

// While it lives the calling thread sleeps; if it is a worker's, that gives up its slot.
class SleepingWorker {
 public:
  SleepingWorker() noexcept;
  ~SleepingWorker();
  SleepingWorker(const SleepingWorker&) = delete;
  SleepingWorker& operator=(const SleepingWorker&) = delete;

 private:
  bool const gave_slot_;
  Nanos outer_since_ = 0;
};

// While it lives the calling thread waits, and dumps say for what. It keeps its thread: a plain
// one, or a goroutine that is pinned. `thread`: what it sleeps on.
// A fatal error if that is forbidden.
class ThreadWait {
 public:
  ThreadWait(ThreadRecord& thread, const char* reason, const void* object) noexcept;
  ~ThreadWait();
  ThreadWait(const ThreadWait&) = delete;
  ThreadWait& operator=(const ThreadWait&) = delete;

 private:
  ThreadRecord& thread_;
};

// From now on the calling thread, or goroutine, which keeps its thread, must not wait; `place`: the
// return address of who says so. It gives the former one, null if there is none, which is to be put
// back.
const void* forbid_waits(const void* place) noexcept;
void allow_waits(const void* former) noexcept;

// Suspends the running goroutine until ready(). `reason`: shown in dumps, a literal in Go's words;
// and so is the address of what it waits for, if there is such a thing. May return on another
// thread.
void park(AfterSwitch after, void* argument, const char* reason,
          const void* object = nullptr) noexcept;

// Gives back the memory that the stack of a goroutine does not use which has parked, is off it, and
// can't be made runnable in the meantime: the caller holds the lock that its wakers would take.
void discard_unused_stack(const Goroutine& parked) noexcept;

// Makes a parked goroutine runnable. From any thread; never blocks.
void ready(Goroutine* g) noexcept;

// Lets others run first.
void yield_goroutine() noexcept;

// The same if the running goroutine's worker has one other to run, and only one. Else false.
bool yield_to_only_other() noexcept;

// Fires at `when`, on some thread. add_timer throws std::bad_alloc; a timer that is queued is
// moved; one that fires now, add_timer may be called from its own `fire`, is queued when that is
// over. remove_timer is true if it did not fire, and otherwise returns when it has; withdraw_timer
// does not wait for that.
void add_timer(Timer& timer, Nanos when);
bool remove_timer(Timer& timer) noexcept;
bool withdraw_timer(Timer& timer) noexcept;

// A record for a goroutine that starts where nothing may throw, as in a timer's `fire`; even while
// others wait for stacks. It goes to start_goroutine or discard_goroutine. Null if there is no
// memory for it: a timer tries again after kRetry.
GoroutineHead* try_new_goroutine() noexcept;
inline constexpr Nanos kRetry = kMillisecond;

// Something small to be done, soon, by a thread that runs no goroutine and that nobody else's code
// ever runs on. From any thread.
struct Chore {
  void (*run)(Chore& chore) noexcept = nullptr;  // the last touch may be in it
  Chore* next = nullptr;
};
void add_chore(Chore& chore) noexcept;

// The same where there is that thread, as have_chores() has said: may be called in a signal's
// handler. have_chores() is false if the system refuses it.
[[nodiscard]] bool have_chores() noexcept;
[[nodiscard]] bool chores_are_done() noexcept;  // the same, but does not ask for the thread
void queue_chore(Chore& chore) noexcept;

// In between something outside of the process may make goroutines go on: no deadlock is declared.
void begin_outside() noexcept;
void end_outside() noexcept;

// True if nobody but the caller runs, and nobody can be woken but by the caller: all others sleep,
// and no timer, descriptor or signal would end that. False if that is not sure, as while there are
// threads that never slept here.
[[nodiscard]] bool nobody_else_runs() noexcept;

// True if spinning for a moment may help: another worker runs meanwhile and nobody waits for this
// one.
bool worth_spinning() noexcept;

// A small number that is the same on each call from one worker, for choosing a shard.
HAMGAM_API unsigned worker_index() noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
