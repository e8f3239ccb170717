// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <algorithm>
#include <cstdio>
#include <mutex>

#include "base/fatal.h"
#include "fiber/stack.h"
#include "os/futex.h"
#include "os/signals.h"
#include "os/thread.h"
#include "sched/exit.h"
#include "sched/poller.h"
#include "sched/scheduler.h"
#include "sched/threads.h"

// The monitor: a thread that looks at the workers every 20 us to 1 ms while any is active, and
// every 3 ms while any was since its last look; then whoever becomes active wakes it. It sleeps for
// good a second after the last one fell asleep if a timer or something outside may wake one. It
//   * takes the slot of a worker that has not passed a scheduling point for 10 ms while work waits,
//     wakes another one in its place, and gives everybody what is queued there;
//   * wakes a worker for what is queued at one that comes to no scheduling point;
//   * keeps time while no worker sleeps;
//   * tells of goroutines that hold others up, if it was asked to (stuck.h);
//   * tries again to start a worker that the system refused, and tells if work waits for it;
//   * does chores that must not be done by a thread that runs goroutines;
//   * declares deadlock; gives unused stacks back; feeds goroutines that starved for a stack.
// It is started with the first worker. If the system refuses that too, whoever takes a slot or
// needs it tries again; until then timers fire at scheduling points only, and nobody is preempted.

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr Nanos kShortest = 20'000;
constexpr Nanos kLongest = kMillisecond;
constexpr Nanos kHogging = 10 * kMillisecond;
constexpr Nanos kRestless = 3 * kMillisecond;  // looks on after the last activity, so often
constexpr Nanos kFirstIdle = 10 * kMillisecond;
constexpr Nanos kLastIdle = 500 * kMillisecond;
constexpr Nanos kLinger = 1000 * kMillisecond;  // awake after the last activity; between two trims
constexpr Nanos kHungry = 100 * kMillisecond;   // memory may have come from elsewhere
constexpr std::size_t kStacksKept = 256;
constexpr Nanos kRecruiting = 10 * kMillisecond;  // between two tries to start a thread
constexpr Nanos kWorried = 100 * kMillisecond;    // work has waited for one that long: say so,
constexpr Nanos kQuiet = 10'000 * kMillisecond;   // but no more often than that

#if defined(HAMGAM_TSAN)
constexpr int kForeignThreads = 1;  // ThreadSanitizer's own
#else
constexpr int kForeignThreads = 0;
#endif

// Who adds one stays awake until it parks, which changes activity(). So between two looks that
// found everything asleep, with nothing changed, all chores of before are done.
constinit atomic<Chore*> g_chores{nullptr};

void do_chores() noexcept {
  // [chore.1] acquire, pairs with [chore.2]: what it is about
  Chore* chore = g_chores.exchange(nullptr, kAcquire);
  while (chore != nullptr) {
    Chore* const next = chore->next;
    chore->run(*chore);
    chore = next;
  }
}

// True if it found something to do.
bool look_at(Worker& worker, Nanos time, RunQueue& loot) noexcept {
  // relaxed throughout: a heuristic, but for the slot's exchange
  std::uint32_t const tick = worker.tick.load(kRelaxed);
  bool const running = worker.current.load(kRelaxed) != &worker.base;
  if (tick != worker.seen_tick || !running) {
    worker.seen_tick = tick;
    worker.seen_since = time;
    worker.stuck.held_up = false;
    return false;
  }
  if (HAMGAM_UNLIKELY(watches_stuck())) {
    look_for_stuck(worker, time);
  }
  bool const has_work = worker.queue.has_next() || !worker.queue.ring_empty();
  if (worker.slot.load(kRelaxed) != Worker::kHeld) {
    if (has_work) {
      spread_queue(worker, loot);
    }
    return has_work;
  }
  if (time - worker.seen_since < kHogging) {
    if (has_work && g_scheduler.idle.should_wake()) {
      wake_worker();
      return true;
    }
    return false;
  }
  if (has_work || any_work()) {
    worker.stuck.held_up = true;
    return give_up_slot(worker);
  }
  return false;
}

// Makes those runnable that could not run for want of a stack.
void feed_starved() noexcept {
  IntrusiveQueue<Goroutine> all;
  {
    std::lock_guard const guard(g_scheduler.starved_lock);
    all.append(g_scheduler.starved);
    g_scheduler.has_starved.store(false, kRelaxed);  // relaxed: a hint to go()
  }
  while (Goroutine* g = all.pop()) {
    push_global(g);
  }
}

// A stack is wanting and nobody is left who could free one.
bool starved_for_good() noexcept {
  return g_scheduler.has_starved.load(kRelaxed);  // relaxed: checked with everything asleep
}

// Changes whenever a goroutine or a known thread that ran goes to sleep or ends.
std::uint64_t activity() noexcept {
  // relaxed throughout: fenced
  full_fence();  // [asleep.1] seq_cst, pairs with itself: looks before and after are that
  std::uint64_t const sum = thread_sleeps() + g_places.parks() + g_places.ended();
  full_fence();  // [asleep.1] seq_cst, pairs with itself
  return sum;
}

// Something outside of the process may wake goroutines.
bool waits_for_outside() noexcept {
  // relaxed: as in_run is, and whoever changes it is awake
  return g_scheduler.outside.load(kRelaxed) != 0 || g_poller.has_waiters();
}

// If all are asleep. That is not seen while there are threads which we do not know; but these may
// end, and nobody will tell us.
bool may_deadlock() noexcept {
  // relaxed: as in_run is elsewhere
  return g_scheduler.in_run.load(kRelaxed) && earliest_timer() == kForever && !waits_for_outside();
}

// All workers sleep, and no goroutine is runnable or elsewhere.
bool workers_asleep() noexcept {
  // relaxed throughout: the caller compares activity() before and after
  if (!g_scheduler.in_run.load(kRelaxed) || g_scheduler.blocking.inside() != 0 ||
      waits_for_outside() || !timers_at_rest() || g_chores.load(kRelaxed) != nullptr) {
    return false;
  }
  return g_scheduler.global.empty() &&
         // Else one runs without a slot.
         g_scheduler.idle.sleepers() + sleeping_threads().workers ==
             g_scheduler.threads.load(kRelaxed) &&
         g_scheduler.idle.active() == 0;
}

// Every thread of the process sleeps here and nothing will wake any. Called when no worker is
// active, with activity() compared before and after. The threads are counted first. Had one of them
// been awake at that moment, it would be missing among those that sleep, unless it fell asleep
// since, or others did that it started: both change activity(). And an unknown one is never
// among those that sleep.
bool all_asleep() noexcept {
  if (!workers_asleep()) {
    return false;
  }
  int const threads = count_threads();
  full_fence();  // [asleep.1] seq_cst, pairs with itself
  std::uint32_t const known =
      g_scheduler.threads.load(kRelaxed) + sleeping_threads().plain;  // relaxed: fenced
  return threads == static_cast<int>(known) + 1 + kForeignThreads &&  // 1: this thread
         workers_asleep();
}

// The same for a caller that is awake, a worker with the slot or a plain thread.
bool others_asleep(const Worker* own) noexcept {
  // relaxed throughout: the caller compares activity() before and after
  std::uint32_t const active = own != nullptr ? 1 : 0;
  if (g_scheduler.blocking.inside() != 0 || waits_for_outside() || !timers_at_rest() ||
      earliest_timer() != kForever || g_chores.load(kRelaxed) != nullptr ||
      g_scheduler.idle.active() != active || !g_scheduler.global.empty() ||
      (own != nullptr && (own->queue.has_next() || !own->queue.ring_empty()))) {
    return false;
  }
  std::uint32_t const workers = g_scheduler.threads.load(kRelaxed);
  SleepingThreads const sleeping = sleeping_threads();
  int const known = static_cast<int>(workers + sleeping.plain + (1 - active));
  return g_scheduler.idle.sleepers() + sleeping.workers + active == workers &&
         count_threads() == known + 1 + kForeignThreads;  // 1: the monitor
}

void declare_deadlock() noexcept {
  if (starved_for_good()) {
    fatal("out of memory: no stack for a goroutine");
  }
  // relaxed: nothing runs
  if (g_scheduler.main_exited.load(kRelaxed) && count_goroutines() == 0) {
    fatal("no goroutines (main called runtime.Goexit) - deadlock!");
  }
  fatal("all goroutines are asleep - deadlock!");
}

class Monitor {
 public:
  void run() noexcept {
    for (;;) {
      if (dozes_) {
        doze();
      } else {
        sleep_until(now() + period_);
      }
      if (exiting()) {
        stop_for_good();
      }
      do_chores();
      Nanos const time = now();
      set_coarse_clock(time);
      bool useful = false;
      if (g_scheduler.idle.timekeeper() == nullptr && earliest_timer() <= time) {
        useful = run_due_timers(time) > 0;
      }
      if (g_poller.is_neglected()) {
        (void)g_poller.look(Poller::kLong);
        if (g_scheduler.idle.should_wake()) {
          wake_worker();  // who has nothing else to do and keeps looking
        }
      }
      feed(time);
      trim(time);
      recruit(time);
      tidy_places();
      if (g_scheduler.idle.active() == 0 && !(watches_stuck() && has_suspects())) {
        idle(time);
      } else {
        watch(time, useful);
      }
    }
  }

 private:
  // Until `limit`, or a timer that nobody else minds, or until it is poked.
  void sleep_until(Nanos limit) noexcept {
    Nanos until = limit;
    g_scheduler.monitor_looks_at.store(until, kRelaxed);  // relaxed: fenced below
    full_fence();  // [timers.3] seq_cst, pairs with [timers.1]
    if (g_scheduler.idle.timekeeper() == nullptr) {
      until = std::min(until, earliest_timer());
      // relaxed: a later adder pokes for nothing
      g_scheduler.monitor_looks_at.store(until, kRelaxed);
    }
    futex_wait(g_scheduler.monitor_wake, 0, until);
    // [deep.3] seq_cst, pairs with [deep.2] and [deep.4]: everything is looked at after it
    if (g_scheduler.monitor_wake.exchange(0, kSeqCst) != 0) {
      last_active_ = now();
    }
  }

  // The same, but whoever becomes active pokes; also whoever takes the last hope away, if there
  // was.
  void doze() noexcept {
    // [deep.1] seq_cst, pairs with [deep.2]: a waker counts a worker active, then looks here.
    g_scheduler.monitor_sleep.store(hopeful_ ? MonitorSleep::kHopeful : MonitorSleep::kDeep,
                                    kSeqCst);
    full_fence();  // [hope.1] seq_cst, pairs with [hope.2]: hope is looked at once more
    if (g_scheduler.idle.active() == 0) {
      if (hopeful_ && may_deadlock()) {
        period_ = kLastIdle;
      }
      sleep_until(period_ == kForever ? kForever : now() + period_);
    }
    g_scheduler.monitor_sleep.store(MonitorSleep::kLight, kRelaxed);  // relaxed: awake now
  }

  void watch(Nanos time, bool useful) noexcept {
    g_places.for_each([&](Worker& worker) { useful |= look_at(worker, time, loot_); });
    period_ = useful ? kShortest : 2 * std::min(period_, kLongest / 2);
    last_active_ = time;
    suspected_ = false;
    dozes_ = false;
  }

  // Those that run on without a slot, as it was taken from them, while all others sleep.
  static bool has_suspects() noexcept {
    bool any = false;
    g_places.for_each([&any](const Worker& worker) {
      any = any || (worker.stuck.held_up && worker.stuck.asked_at == 0);
    });
    return any;
  }

  void idle(Nanos time) noexcept {
    std::uint64_t const before = activity();
    if (all_asleep() && activity() == before) {
      if (suspected_ && before == suspected_at_) {
        declare_deadlock();
      }
      suspected_ = true;
      suspected_at_ = before;
      period_ = kMillisecond;
      dozes_ = false;
      return;
    }
    suspected_ = false;
    // A goroutine ran since the last look, as where each of a server's requests comes alone: to be
    // poked by each costs them more than these looks.
    std::uint64_t const ran = g_places.parks() + g_places.ended();
    if (ran != ran_at_) {
      ran_at_ = ran;
      last_active_ = time;
    }
    if (time - last_active_ < kRestless) {
      period_ = kRestless;
      dozes_ = false;
      return;
    }
    Nanos const idle_for = time - last_active_;
    // relaxed: a hint
    bool const wanted = refused_since_ != kForever || g_scheduler.has_starved.load(kRelaxed);
    // Not at once: a thread that takes hope away and gives it again would poke at each turn.
    hopeful_ = !wanted && !may_deadlock();
    if (hopeful_) {
      period_ = idle_for >= kLinger ? kForever : kLinger;
    } else {
      period_ = std::clamp(4 * std::min(period_, kLastIdle), kFirstIdle,
                           refused_since_ == kForever ? kLastIdle : kFirstIdle);
    }
    dozes_ = true;
    if (period_ == kForever) {
      trim_stacks(kStacksKept);
    }
  }

  // Once something has ended or parked since the last time, there may be a stack.
  void feed(Nanos time) noexcept {
    // relaxed: only this thread clears it
    if (!g_scheduler.has_starved.load(kRelaxed)) {
      return;
    }
    std::uint64_t const now_at = activity();
    if (now_at != fed_at_ || time - last_fed_ >= kHungry) {
      fed_at_ = now_at;
      last_fed_ = time;
      feed_starved();
    }
  }

  void trim(Nanos time) noexcept {
    if (time - last_trim_ >= kLinger) {
      last_trim_ = time;
      trim_stacks(kStacksKept);
    }
  }

  // Whoever is woken finds nothing to do, and retires (but for one, who keeps time) or moves down.
  void tidy_places() noexcept {
    if (has_surplus_workers() && g_scheduler.idle.sleepers_with_place() > 1 &&
        g_scheduler.idle.should_wake()) {
      wake_worker();
    }
    for (std::uint32_t i = g_places.taken(); i < g_places.count(); ++i) {
      if (Worker* const high = g_places.at(i)) {
        wake_sleeper(*high);
      }
    }
  }

  // A worker was refused while work waited. If all there are block for long, that may be a hang
  // which only a thread could end.
  void recruit(Nanos time) noexcept {
    // relaxed: set again by each refusal
    if (g_scheduler.wants_thread.load(kRelaxed) && refused_since_ == kForever) {
      refused_since_ = time;
      last_try_ = 0;
    }
    if (refused_since_ == kForever || time - last_try_ < kRecruiting) {
      return;
    }
    last_try_ = time;
    // relaxed throughout: set again by each refusal; the others are numbers for people
    g_scheduler.wants_thread.store(false, kRelaxed);
    full_fence();  // [idle.7] seq_cst, pairs with [idle.2]
    look_again();
    if (!g_scheduler.wants_thread.load(kRelaxed)) {
      refused_since_ = kForever;
    } else if (time >= quiet_until_ && time - refused_since_ >= kWorried &&
               g_scheduler.idle.active() == 0 && g_scheduler.blocking.inside() != 0) {
      quiet_until_ = time + kQuiet;
      char line[160];
      std::snprintf(line, sizeof line,
                    "hamgam: goroutines wait for a thread: the system refuses more than the %u "
                    "there are, which all block\n",
                    g_scheduler.threads.load(kRelaxed));
      (void)write_error_within(line, 0);  // all wait for this thread: it waits for nobody
    }
  }

  RunQueue loot_;  // empty but while it is handed on
  Nanos period_ = kShortest;
  Nanos last_active_ = now();
  Nanos last_trim_ = now();
  bool dozes_ = false;              // has been idle for a while: sleeps until it is poked
  bool hopeful_ = false;            // nothing can deadlock meanwhile
  bool suspected_ = false;          // all seemed asleep at the last look,
  std::uint64_t suspected_at_ = 0;  // and this was activity()
  std::uint64_t ran_at_ = 0;        // how often goroutines had parked or ended, at such a look
  std::uint64_t fed_at_ = 0;        // the same, when starved goroutines were fed
  Nanos last_fed_ = 0;
  Nanos refused_since_ = kForever;  // a worker, and it is still wanted
  Nanos last_try_ = 0;
  Nanos quiet_until_ = 0;  // it was told of
};

void monitor_main(void* /*unused*/) {
  Monitor monitor;
  monitor.run();
}

constinit atomic<bool> g_started{false};

// True if it runs. Who only hopes that it does need not ask the system at each turn.
bool start_monitor(bool is_wanted = false) noexcept {
  static atomic<Nanos> refused_at{0};
  // relaxed throughout: only one may start it
  if (g_started.load(kRelaxed)) {
    return true;
  }
  Nanos const time = now();
  if ((!is_wanted && time - refused_at.load(kRelaxed) < kRecruiting) ||
      g_started.exchange(true, kRelaxed)) {
    return false;
  }
  if (start_thread("hamgam-monitor", &monitor_main, nullptr, Signals::kFaults)) {
    return true;
  }
  refused_at.store(time, kRelaxed);
  g_started.store(false, kRelaxed);
  return false;
}

}  // namespace

void add_chore(Chore& chore) noexcept {
  if (!start_monitor()) {
    chore.run(chore);  // no thread to be had: here is better than never
    return;
  }
  queue_chore(chore);
}

bool have_chores() noexcept {
  ensure_started();
  // The first may have met another one that starts it.
  return start_monitor(true) || start_monitor(true);
}

bool chores_are_done() noexcept {
  return g_started.load(kRelaxed);  // relaxed: true is for ever
}

bool nobody_else_runs() noexcept {
  const Worker* const own = this_worker();
  // relaxed: ours
  if (own != nullptr && own->slot.load(kRelaxed) != Worker::kHeld) {
    return false;
  }
  std::uint64_t const before = activity();
  return others_asleep(own) && others_asleep(own) && activity() == before;
}

void queue_chore(Chore& chore) noexcept {
  Chore* first = g_chores.load(kRelaxed);  // relaxed: the CAS checks it
  do {
    chore.next = first;
    // [chore.2] release, pairs with [chore.1]
  } while (!g_chores.compare_exchange_weak(first, &chore, kRelease, kRelaxed));
  if (first == nullptr) {  // else somebody has poked it, and it has not come yet
    // [chore.3] release, pairs with [deep.3]: it sees the chore, or is poked once more
    g_scheduler.monitor_wake.store(1, kRelease);
    futex_wake(g_scheduler.monitor_wake, 1);
  }
}

void begin_outside() noexcept {
  g_scheduler.outside.fetch_add(1, kRelaxed);  // relaxed: the caller is awake until it waits
}

void end_outside() noexcept {
  g_scheduler.outside.fetch_sub(1, kRelaxed);  // relaxed: fenced by the next
  tell_of_lost_hope();
}

void poke_monitor() noexcept {
  if (!start_monitor()) {
    return;
  }
  g_scheduler.monitor_sleep.store(MonitorSleep::kLight,
                                  kRelaxed);  // relaxed: published by the next
  // [deep.4] release, pairs with [deep.3]: it must not come into a later sleep of the monitor's,
  // who could not be roused from that any more
  g_scheduler.monitor_wake.store(1, kRelease);
  futex_wake(g_scheduler.monitor_wake, 1);
}

void rouse_monitor() noexcept {
  // [deep.2] seq_cst, pairs with [deep.1]: after the read-modify-write that counted the worker
  if (HAMGAM_UNLIKELY(g_scheduler.monitor_sleep.load(kSeqCst) != MonitorSleep::kLight)) {
    set_coarse_clock(now());  // it may have slept for long
    poke_monitor();
  }
}

void tell_of_lost_hope() noexcept {
  full_fence();  // [hope.2] seq_cst, pairs with [hope.1]: after what was taken away
  // relaxed: fenced above
  if (g_scheduler.monitor_sleep.load(kRelaxed) == MonitorSleep::kHopeful) {
    poke_monitor();
  }
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
