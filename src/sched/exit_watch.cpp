// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sched/exit_watch.h"

#include <cstdint>

#include "hamgam/detail/atomic.h"
#include "os/asleep.h"
#include "os/clock.h"
#include "os/futex.h"
#include "os/thread.h"
#include "sched/exit.h"
#include "sched/scheduler.h"
#include "sched/threads.h"

// What a static object's destructor waits for may have been a goroutine's to do, which was stopped.
// Our own waits know by patience() that they are the exiting thread's. Those of the standard
// library do not: ~stop_callback beside a callback that was stopped, the join of a thread that
// waits for a goroutine, a mutex, a condition variable, a future.
//
// How long such a wait takes says nothing: a thread may be at work for the destructor, for minutes.
// What says it all is that nobody is left: every thread of the process is in a wait that nothing
// but another one of them ends. So the watch looks at all of them. The kernel tells what each waits
// for, and how long it has had a CPU. One that had none between two looks, and was asleep at both,
// was asleep all the time. So at the moment between the two looks every thread was; nobody could
// wake any then, nor can later. It is no guess that a destructor hangs, and no limit of time: the
// second that this must last is for what cannot be known, a signal whose handler wakes somebody.
//
// Who counts as asleep, though the kernel does not call it that: this thread, and those of the
// library's that do nothing for the program any more. Most of these come to stop_for_good() by
// themselves, or when they are told here; the janitor does at its next turn, a thread that rests
// (threads.h) serves the outside only, and what one that reports waits for is a reader.
//
// Who does not: whoever waits for the kernel, or for a time. So a process that has a thread in
// read(2), a goroutine in blocking() too, waits on, as it does without us.
//
// Rejected: to let goroutines go on while the destructor waits. What they use is destroyed already.
// Rejected: a limit for the wait of the exiting thread alone. It may join one that is at work.
// Rejected: the monitor does it. It may be in such a ~stop_callback itself (wait/stop.cpp).

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr Nanos kPeriod = 250 * kMillisecond;
constexpr Nanos kStranded = 1000 * kMillisecond;

class Watch {
 public:
  Watch(int exiting, Stranded stranded) noexcept : exiting_(exiting), stranded_(stranded) {}

  [[noreturn]] void run() noexcept {
    stop_own_threads();
    Nanos since = kForever;  // all have been asleep
    std::uint64_t former = 0;
    for (;;) {
      nap();
      // First that one: most destructors do not wait, and there may be many threads.
      if (!sleeps_until_woken(exiting_) || !all_asleep()) {
        since = kForever;
        continue;
      }
      Nanos const time = now();
      if (since == kForever || seen_ != former) {
        since = time;
        former = seen_;
      } else if (time - since >= kStranded) {
        stranded_();
        stop_for_good();
      }
    }
  }

 private:
  // Those that would sleep for a time, or for events of the kernel's.
  static void stop_own_threads() noexcept {
    if (chores_are_done()) {
      poke_monitor();
    }
    full_fence();  // [exit.6] seq_cst, pairs with [idle.2]: it looks whether exiting() or is told
    if (Worker* const keeper = g_scheduler.idle.timekeeper()) {
      tell(*keeper);
    }
  }

  static void nap() noexcept {
    static constinit atomic<std::uint32_t> never{0};
    Nanos const end = now() + kPeriod;
    while (futex_wait(never, 0, end)) {
    }
  }

  bool all_asleep() noexcept {
    seen_ = 0;
    count_ = 0;
    int const count = count_threads();
    return look_at_threads(
               [](int id, void* self) noexcept { return static_cast<Watch*>(self)->look_at(id); },
               this) &&
           count_ == count;  // a list may lack one where others end
  }

  bool look_at(int id) noexcept {
    ++count_;
    if (id == own_ || background_is_over(id)) {
      return true;
    }
    if (!sleeps_until_woken(id) && !rests(id)) {
      return false;
    }
    note(static_cast<std::uint64_t>(id));
    note(static_cast<std::uint64_t>(thread_cpu_time(id)));
    return true;
  }

  static bool rests(int id) noexcept {
    struct Search {
      int id;
      bool found = false;
    } search{id};
    for_each_thread(
        [](ThreadRecord& record, void* raw) {
          auto& its = *static_cast<Search*>(raw);
          // relaxed throughout: that it has no CPU between two looks says that this holds
          if (record.id.load(kRelaxed) == its.id) {
            its.found = its.found || record.reports.load(kRelaxed) ||
                        record.word.load(kRelaxed) == ThreadRecord::kAsleep;
          }
        },
        &search);
    return search.found && thread_doing(id) == Doing::kWaits;
  }

  void note(std::uint64_t number) noexcept { seen_ = (seen_ ^ number) * 0x9E3779B97F4A7C15U + 1; }

  int const exiting_;
  int const own_ = thread_id();
  Stranded const stranded_;
  int count_ = 0;
  std::uint64_t seen_ = 0;  // who sleeps, and the time each had
};

}  // namespace

void watch_last_thread(int id, Stranded stranded) noexcept {
  static constinit atomic<int> thread{0};
  static constinit atomic<Stranded> call{nullptr};
  // relaxed throughout: published by the start of the thread
  thread.store(id, kRelaxed);
  call.store(stranded, kRelaxed);
  auto const run = [](void*) { Watch(thread.load(kRelaxed), call.load(kRelaxed)).run(); };
  (void)start_thread("hamgam-exit", run, nullptr, Signals::kFaults);
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
