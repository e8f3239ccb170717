// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <algorithm>
#include <chrono>
#include <mutex>
#include <new>
#include <thread>

#include "base/fatal.h"
#include "base/own_memory.h"
#include "os/futex.h"
#include "os/signals.h"
#include "os/thread.h"
#include "sched/exit.h"
#include "sched/poller.h"
#include "sched/switch.h"
#include "sched/threads.h"

namespace hamgam::inline HAMGAM_ABI::detail {

constinit Scheduler g_scheduler;

#if defined(__x86_64__)
extern "C" {
__attribute__((used)) thread_local constinit Worker* hamgam_this_worker = nullptr;  // NOLINT

extern HAMGAM_API thread_local constinit unsigned long hamgam_worker_slot  // NOLINT
    __attribute__((tls_model("initial-exec")));
__attribute__((used)) thread_local constinit unsigned long hamgam_worker_slot = 0;  // NOLINT
}
void set_worker_slot(unsigned slot) noexcept { hamgam_worker_slot = slot; }
void set_this_worker(Worker* worker) noexcept { hamgam_this_worker = worker; }
#else
namespace {
thread_local constinit Worker* t_worker = nullptr;
thread_local constinit unsigned t_worker_slot = 0;
}
HAMGAM_NOINLINE unsigned worker_slot() noexcept {
  asm volatile("");
  return t_worker_slot;
}
void set_worker_slot(unsigned slot) noexcept { t_worker_slot = slot; }
Worker* this_worker() noexcept {
  asm volatile("");
  return t_worker;
}
void set_this_worker(Worker* worker) noexcept { t_worker = worker; }
#endif

namespace {

constexpr int kSearchRounds = 4;
constexpr int kStuckSpins = 100;            // some microseconds
constexpr std::uint32_t kSpareWorkers = 1;  // so that a call that blocks now and then finds one

// One for each slot and for each call that blocks, and some to spare.
std::uint32_t enough_workers() noexcept {
  return g_scheduler.idle.width() + g_scheduler.blocking.inside() + kSpareWorkers;
}

// A goroutine in runnext is left to its worker, which is about to run it; unless that worker does
// not come to its next scheduling point.
bool next_is_stuck(const Worker& victim) noexcept {
  // relaxed throughout: a heuristic
  const Goroutine* const next = victim.queue.peek_next();
  if (next == nullptr) {
    return false;
  }
  std::uint32_t const tick = victim.tick.load(kRelaxed);
  for (int i = 0; i < kStuckSpins; ++i) {
    if (victim.queue.peek_next() != next || victim.tick.load(kRelaxed) != tick) {
      return false;
    }
    spin_pause();
  }
  return true;
}

// The first of the share that falls to this worker, whose own ring is empty; it gets the others.
Goroutine* take_global(Worker& w) noexcept {
  Goroutine* share[GlobalQueue::kBatch];  // NOLINT: not to be cleared each time
  std::size_t const count = g_scheduler.global.pop(share, std::max(1U, g_scheduler.idle.width()));
  if (count == 0) {
    return nullptr;
  }
  w.queue.fill(share + 1, static_cast<std::uint32_t>(count) - 1);
  return share[0];
}

void stop_searching(Worker& w) noexcept {
  if (!w.searching) {
    return;
  }
  w.searching = false;
  if (g_scheduler.idle.stop_searching()) {
    look_again();
  }
}

Goroutine* steal_from(Worker& w, Worker& victim, bool next_too) noexcept {
  Goroutine* g = victim.queue.steal_into(w.queue);
  if (g == nullptr && next_too && next_is_stuck(victim)) {
    g = victim.queue.steal_next();
  }
  if (g != nullptr) {
    w.steals.store(w.steals.load(kRelaxed) + 1, kRelaxed);  // relaxed: ours, a statistic
  }
  return g;
}

Goroutine* steal(Worker& w) noexcept {
  if (!w.searching && !(w.searching = g_scheduler.idle.start_searching())) {
    return nullptr;
  }
  for (int round = 0; round < kSearchRounds; ++round) {
    std::uint32_t const count = std::max(1U, g_places.count());
    std::uint32_t const start = w.random.below(count);
    for (std::uint32_t i = 0; i < count; ++i) {
      Worker* victim = g_places.at((start + i) % count);
      if (victim == nullptr || victim == &w) {
        continue;
      }
      if (Goroutine* g = steal_from(w, *victim, round == kSearchRounds - 1)) {
        return g;
      }
    }
    if (run_due_timers(now()) > 0) {
      if (Goroutine* g = take_local(w)) {
        return g;
      }
    }
    if (Goroutine* g = take_global(w)) {
      return g;
    }
  }
  return nullptr;
}

// Something was put into the global queue.
void wake_for_global() noexcept {
  full_fence();  // [idle.1] seq_cst, pairs with [idle.2]
  if (g_scheduler.idle.should_wake()) {
    wake_worker();
  }
}

void push_global_all(IntrusiveQueue<Goroutine>& all, std::size_t count) noexcept {
  if (count != 0) {
    g_scheduler.global.append(all, count);
    wake_for_global();
  }
}

}  // namespace

void hand_queue_over(Worker& w) noexcept {
  IntrusiveQueue<Goroutine> all;
  std::size_t count = 0;
  Goroutine* g;
  while ((g = w.queue.take_next()) != nullptr || (g = w.queue.pop()) != nullptr) {
    all.push(g);
    ++count;
  }
  push_global_all(all, count);
}

void spread_queue(Worker& victim, RunQueue& loot) noexcept {
  IntrusiveQueue<Goroutine> all;
  std::size_t count = 0;
  Goroutine* g;
  while ((g = loot.pop()) != nullptr || (g = victim.queue.steal_next()) != nullptr ||
         (g = victim.queue.steal_into(loot)) != nullptr) {
    all.push(g);
    ++count;
  }
  push_global_all(all, count);
}

namespace {

// To a lower place, if there is one and this one is high.
void move_down(Worker& w) noexcept {
  if (HAMGAM_LIKELY(!g_places.should_move_down(w)) || !g_places.move_down(w)) {
    return;
  }
  // Whoever looked meanwhile may have missed this worker.
  full_fence();  // [idle.13] seq_cst, pairs with [idle.2]
  look_again();
  if (Nanos const when = w.timers.earliest(); when != kForever) {
    tell_of_timers(when);
  }
}

// A worker that goes to sleep, and is counted active or searching until it does, retires if there
// are enough without it. Not the only sleeper: who retired keeps no time, and the others may hog
// for ever. (Should the keeper be woken just now: it sleeps again, or its slot is taken and one
// woken.)
void retire_if_surplus(Worker& w) noexcept {
  if (!has_surplus_workers() || g_scheduler.idle.timekeeper() == nullptr) {
    move_down(w);
    return;
  }
  hand_queue_over(w);
  TimerHeap& heir = g_scheduler.thread_timers.value;
  if (g_places.retire(w, enough_workers(), heir)) {
    if (Nanos const when = heir.earliest(); when != kForever) {
      tell_of_timers(when);
    }
    w.stacks.spill(0);
    w.records.clear();
  }
}

// Until somebody has use for this worker; it holds a slot then.
void sleep(Worker& w) noexcept {
  retire_if_surplus(w);
  Idle& idle = g_scheduler.idle;
  // [slot.1] acq_rel, pairs with [slot.2]: who gives the slot up, we or the monitor.
  bool const held = w.slot.exchange(Worker::kNone, kAcqRel) == Worker::kHeld;
  idle.go_to_sleep(w, held);
  look_again();
  for (;;) {
    if (exiting()) {
      stop_for_good();
    }
    // [wake.1] acquire, pairs with [wake.2]: what the waker wrote into this worker.
    std::uint32_t wake = w.wake.load(kAcquire);
    if (wake == Worker::kGranted) {
      break;
    }
    if (wake == Worker::kLookAgain) {
      // [wake.1] acquire, pairs with [timers.5]: whoever told us meanwhile, too
      w.wake.compare_exchange_strong(wake, Worker::kAsleep, kAcquire, kRelaxed);
      continue;
    }
    Nanos deadline = kForever;
    if (idle.timekeeper() == &w) {  // unfenced: who does not keep time looks at no timer
      deadline = earliest_timer();
      w.looks_at.store(deadline, kRelaxed);  // relaxed: fenced below
      full_fence();                          // [timers.2] seq_cst, pairs with [timers.1]
      deadline = std::min(deadline, earliest_timer());
      Nanos const time = deadline == kForever ? 0 : now();
      if (deadline <= time) {
        if (idle.wake_self(w, true)) {
          // relaxed: nobody else changes the slot of a worker that is off the list and holds none
          w.slot.store(Worker::kHeld, kRelaxed);
          run_due_timers(time);  // first: somebody would be woken for them
          if (w.kept_time) {
            hand_timers_over();
          }
          rouse_monitor();
          break;
        }
        run_due_timers(time);  // all slots are taken; others run what this makes runnable
        hand_queue_over(w);
        continue;
      }
      if (g_poller.in_use()) {  // fenced above
        if (g_poller.keep(w, deadline)) {
          break;
        }
        hand_queue_over(w);  // what the events made runnable
        continue;
      }
    }
    futex_wait(w.wake, Worker::kAsleep, deadline);
  }
  if (w.retired) {
    g_places.take(w);
  }
}

// A worker without a slot takes one or sleeps; one too many sleeps.
void settle_slot(Worker& w) noexcept {
  Idle& idle = g_scheduler.idle;
  // relaxed throughout: see [slot.1]. Only we set it while we are awake; if the monitor takes it
  // now we notice at the next scheduling point.
  while (w.slot.load(kRelaxed) != Worker::kHeld || idle.active() > idle.width()) {
    if (w.slot.load(kRelaxed) != Worker::kHeld && idle.take_slot()) {
      w.slot.store(Worker::kHeld, kRelaxed);
      rouse_monitor();
      return;
    }
    hand_queue_over(w);
    w.stacks.spill(0);
    sleep(w);
  }
}

Goroutine* look_around(Worker& w) noexcept {
  for (;;) {
    settle_slot(w);
    Nanos const due = w.timers.earliest();
    if (due != kForever) {
      Nanos const time = now();
      if (due <= time) {
        run_due_timers(w.timers, time);
      }
    }
    // relaxed: ours
    if (w.tick.load(kRelaxed) % kFairTicks == 0) {
      w.tick.store(w.tick.load(kRelaxed) + 1, kRelaxed);  // relaxed: ours
      move_down(w);
      (void)g_poller.look(Poller::kJustNow);
      if (Goroutine* g = g_scheduler.global.pop_oldest()) {
        return g;
      }
    }
    if (Goroutine* g = take_local(w)) {
      return g;
    }
    if (Goroutine* g = take_global(w)) {
      return g;
    }
    if (Goroutine* g = steal(w)) {
      return g;
    }
    sleep(w);
  }
}

void worker_main(void* raw) {
  auto* w = static_cast<Worker*>(raw);
  set_this_worker(w);
  share_thread_locals();
  ThreadRecord* const record = this_thread_record();  // made now, for exit() by a goroutine
  w->thread = ThreadState::of_this_thread();
  adopt_thread(w->base.fiber);
  w->record = give_signal_stack() ? record : nullptr;
  w->current.store(&w->base, kRelaxed);  // relaxed: published with the place
  w->thread_id = thread_id();
  tell_where_notes_are(*w);
  w->trace.thread_id.store(w->thread_id, kRelaxed);  // relaxed: a number
  g_places.take(*w);
  w->random = Random(w->index + 1);
  for (;;) {
    Goroutine* g = look_around(*w);
    stop_searching(*w);
    if (bind(*w, *g)) {
      switch_to(w, w->base, *g);
    }
  }
}

constexpr int kFirstStartTries = 20;  // with naps of 1, 2, 3 ... milliseconds between them

// Counted active and searching already. False if there is no thread to be had.
bool start_worker() noexcept {
  // relaxed throughout: a number; nobody reads more from it
  std::uint32_t const others = g_scheduler.threads.fetch_add(1, kRelaxed);
  if (others < kMaxWorkers) {
    if (auto* const w = try_make_own<Worker>()) {
      w->searching = true;
      if (start_thread("hamgam", &worker_main, w)) {
        return true;
      }
      drop_own(w);
    }
  }
  g_scheduler.threads.fetch_sub(1, kRelaxed);
  return false;
}

void grant(Worker& w) noexcept {
  w.searching = true;
  w.slot.store(Worker::kHeld, kRelaxed);  // relaxed: published by [wake.2]
  bool const kept_time = w.kept_time;
  // [wake.2] release, pairs with [wake.1]
  if (w.wake.exchange(Worker::kGranted, kRelease) == Worker::kPolling) {
    g_poller.interrupt();
  } else {
    futex_wake(w.wake, 1);
  }
  if (kept_time) {
    hand_timers_over();
  }
}

// Counted active and searching: on a new thread, if one is to be had. Else the work waits for the
// workers there are, and those must not have relied on this one.
void start_or_do_without() noexcept {
  // relaxed: after a refusal the monitor alone tries again, which takes this back first
  if (!g_scheduler.wants_thread.load(kRelaxed) && start_worker()) {
    return;
  }
  // With no worker at all nothing would ever happen, so that one is tried for a while.
  for (int tries = 1; g_scheduler.threads.load(kRelaxed) == 0; ++tries) {  // relaxed: a number
    if (tries == kFirstStartTries) {
      fatal("no thread to run goroutines on: the system refuses to start any");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(tries));
    if (start_worker()) {
      return;
    }
  }
  g_scheduler.idle.uncount();
  if (g_scheduler.idle.should_wake() && any_work()) {
    if (Worker* sleeper = g_scheduler.idle.claim_if_one_sleeps()) {
      grant(*sleeper);
    } else {
      // relaxed: the monitor, roused by the caller, tries again and tells who waits in vain
      g_scheduler.wants_thread.store(true, kRelaxed);
    }
  }
}

}  // namespace

bool has_surplus_workers() noexcept { return g_places.taken() > enough_workers(); }

bool any_work() noexcept {
  if (!g_scheduler.global.empty()) {
    return true;
  }
  bool found = false;
  g_places.for_each([&found](const Worker& worker) {
    found = found || !worker.queue.ring_empty() || next_is_stuck(worker);
  });
  return found;
}

void look_again() noexcept {
  if (g_scheduler.idle.should_wake() && any_work()) {
    wake_worker();
  }
}

HAMGAM_NOINLINE void wake_worker() noexcept {
  bool nobody_sleeps = false;
  if (Worker* worker = g_scheduler.idle.claim_sleeper(nobody_sleeps)) {
    grant(*worker);
  } else if (nobody_sleeps) {
    start_or_do_without();
  } else {
    return;
  }
  rouse_monitor();
}

void wake_sleeper(Worker& w) noexcept {
  if (g_scheduler.idle.claim(w)) {
    grant(w);
    rouse_monitor();
  }
}

bool give_up_slot(Worker& w) noexcept {
  // [slot.2] acq_rel, pairs with [slot.1]
  if (w.slot.exchange(Worker::kNone, kAcqRel) != Worker::kHeld) {
    return false;
  }
  g_scheduler.idle.give_slot();
  if (g_scheduler.idle.should_wake() && (any_work() || g_poller.is_neglected())) {
    wake_worker();
  }
  return true;
}

HAMGAM_NOINLINE bool bind_slow(Worker& w, Goroutine& g) noexcept {
  std::size_t const wanted = g.extras != nullptr ? g.extras->stack_size : 0;
  Stack* stack = wanted == 0 ? w.stacks.take() : take_sized_stack(wanted);
  if (HAMGAM_LIKELY(stack != nullptr)) {
    g.stack = stack;
    bind_stack(g.fiber, stack, g.argument);
#if defined(HAMGAM_TSAN)
    name_fiber(g.fiber, g.id.load(kRelaxed),  // relaxed: ours
               g.extras != nullptr ? g.extras->name.c_str() : "");
#endif
    return true;
  }
  std::lock_guard const guard(g_scheduler.starved_lock);
  g_scheduler.starved.push(&g);
  g_scheduler.has_starved.store(true, kRelaxed);  // relaxed: go() takes it for a hint
  return false;
}

void push_ring(Worker& w, Goroutine* g) noexcept {
  while (HAMGAM_UNLIKELY(!w.queue.push(g))) {
    // Full: half of it goes to the global queue, and g behind it.
    Goroutine* overflow[GlobalQueue::kBatch];  // NOLINT: not to be cleared each time
    std::uint32_t const count = w.queue.take_half(overflow);
    if (count != 0) {
      overflow[count] = g;
      g_scheduler.global.append_batch(overflow, count + 1);
      return;
    }
  }
}

void push_global(Goroutine* g) noexcept {
  g_scheduler.global.push(g);
  wake_for_global();
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
