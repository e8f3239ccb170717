// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sched/park.h"

#include <new>
#include <string>
#include <utility>

#include "base/fatal.h"
#include "os/thread.h"
#include "sched/dump.h"
#include "sched/exit.h"
#include "sched/switch.h"
#include "sched/threads.h"

namespace hamgam::inline HAMGAM_ABI::detail {

constinit atomic<std::ptrdiff_t> g_note_distance{0};

Goroutine* current_goroutine() noexcept {
  Worker* w = this_worker();
  if (w == nullptr) {
    return nullptr;
  }
  Goroutine* g = w->current.load(kRelaxed);  // relaxed: ours
  return g != &w->base ? g : nullptr;
}

Goroutine* goroutine_to_park() noexcept {
  Goroutine* g = current_goroutine();
  return g != nullptr && HAMGAM_LIKELY(g->pinned == 0) ? g : nullptr;
}

Pin::Pin() noexcept {
  if (Goroutine* g = current_goroutine()) {
    ++g->pinned;
  }
}

Pin::~Pin() {
  if (Goroutine* g = current_goroutine()) {
    --g->pinned;
  }
}

bool lend_slot(Worker& w) noexcept {
  if (w.untold_ends != 0) {
    tell_ends(w);
  }
  // Workers that always have something to do of their own are no thieves, but look at what is
  // everybody's now and then.
  hand_queue_over(w);
  return give_up_slot(w);
}

void take_slot_back(Worker& w) noexcept {
  // relaxed throughout: only its owner sets the slot while the worker is awake
  if (w.slot.load(kRelaxed) != Worker::kHeld && g_scheduler.idle.take_slot()) {
    w.slot.store(Worker::kHeld, kRelaxed);
    rouse_monitor();
  }
}

namespace {

HAMGAM_NOINLINE void yield_pinned(Worker& w) noexcept {
  w.tick.store(w.tick.load(kRelaxed) + 1, kRelaxed);  // relaxed: for the monitor: it is not stuck
  bool const gave_slot = lend_slot(w);
  yield_thread();
  if (exiting()) {
    stop_goroutine();
  }
  if (gave_slot) {
    take_slot_back(w);
  }
}

}  // namespace

SleepingWorker::SleepingWorker() noexcept
    : gave_slot_(this_worker() != nullptr && lend_slot(*this_worker())) {
  if (Goroutine* g = current_goroutine()) {
    // relaxed throughout: for dumps, and for the monitor: it is not stuck
    atomic<std::uint32_t>& tick = this_worker()->tick;
    tick.store(tick.load(kRelaxed) + 1, kRelaxed);
    atomic<Nanos>& since = this_worker()->stays_since;
    outer_since_ = since.load(kRelaxed);
    since.store(coarse_now(), kRelaxed);
    g->wait_reason.store(kOnItsThread, kRelaxed);
    if (tracing()) {
      trace_span(TraceKind::kBlock, kOnItsThread);
    }
  }
}

SleepingWorker::~SleepingWorker() {
  Goroutine* g = current_goroutine();
  if (g == nullptr) {
    return;
  }
  if (exiting()) {
    stop_goroutine();
  }
  if (tracing()) {
    trace_span(TraceKind::kUnblock, kOnItsThread);
  }
  // relaxed throughout: for dumps
  g->wait_reason.store(nullptr, kRelaxed);
  this_worker()->stays_since.store(outer_since_, kRelaxed);
  if (gave_slot_) {
    take_slot_back(*this_worker());
  }
}

namespace {

thread_local constinit const void* t_no_waits = nullptr;  // since there

[[noreturn]] void refuse_to_wait(const char* reason) noexcept {
  try {
    Symbols symbols;
    const Symbols::Place& made = symbols.at(static_cast<const char*>(t_no_waits) - 1);
    std::string text = "observe: ";
    text += reason;
    text += " inside a NoParkScope, which was made at\n" + made.function + "\n\t" + made.where;
    fatal(text.c_str());
  } catch (const std::bad_alloc&) {
    fatal("observe: a wait inside a NoParkScope");
  }
}

}  // namespace

HAMGAM_NOINLINE const void* forbid_waits(const void* place) noexcept {
  if (Goroutine* g = current_goroutine()) {
    ++g->pinned;
  }
  return std::exchange(t_no_waits, place);
}

HAMGAM_NOINLINE void allow_waits(const void* former) noexcept {
  if (Goroutine* g = current_goroutine()) {
    --g->pinned;
  }
  t_no_waits = former;
}

ThreadWait::ThreadWait(ThreadRecord& thread, const char* reason, const void* object) noexcept
    : thread_(thread) {
  if (HAMGAM_UNLIKELY(t_no_waits != nullptr)) {
    refuse_to_wait(reason);
  }
  // relaxed throughout: for dumps
  thread.object.store(object, kRelaxed);
  thread.since.store(coarse_now(), kRelaxed);
  thread.as_goroutine.store(current_goroutine() != nullptr, kRelaxed);
  thread.reason.store(reason, kRelaxed);
}

ThreadWait::~ThreadWait() {
  thread_.reason.store(nullptr, kRelaxed);  // relaxed: for dumps
}

// One function for all, where programs are optimised as a whole, too: so the note is at the same
// place of its frame each time.
#if defined(__clang__)
HAMGAM_NOINLINE
#else
__attribute__((noinline, noclone))
#endif
void park(AfterSwitch after, void* argument, const char* reason, const void* object) noexcept {
  Worker* w = this_worker();
  if (HAMGAM_UNLIKELY(w->untold_ends != 0)) {
    tell_ends(*w);
  }
  Goroutine* g = w->current.load(kRelaxed);  // relaxed: ours
  g->wait_reason.store(reason, kRelaxed);    // relaxed: for dumps
  ParkNote note{object, coarse_now()};
  asm volatile("" : "+m"(note));  // somebody may read it: from here
#if defined(HAMGAM_ASAN)
  g->note = &note;
#endif
  w->after = after;
  w->after_argument = argument;
  w->parks.store(w->parks.load(kRelaxed) + 1, kRelaxed);  // relaxed: ours, a statistic
  Goroutine* next = kSwitchDirectly ? next_local(*w) : nullptr;
  if (next == nullptr || !bind(*w, *next)) {
    next = &w->base;
    if (HAMGAM_UNLIKELY(g == next)) {
      auto const* const frame = static_cast<const char*>(__builtin_frame_address(0));
      // relaxed: it is told before any goroutine can park
      g_note_distance.store(frame - reinterpret_cast<const char*>(&note), kRelaxed);
    }
  }
  switch_to(w, *g, *next);
  asm volatile("" : "+m"(note));  // to here
}

void tell_where_notes_are([[maybe_unused]] Worker& w) noexcept {
#if !defined(HAMGAM_ASAN)
  park(nullptr, nullptr, nullptr);  // to itself
  w.parks.store(0, kRelaxed);       // relaxed: ours
#endif
}

#if defined(HAMGAM_ASAN)
const ParkNote* note_of(const Goroutine& g) noexcept { return g.note; }
#else
const ParkNote* note_of(const Goroutine& g) noexcept {
  // Frame pointers are kept in the library's own code, so this is park()'s frame.
  const char* const frame = frame_pointer_of(g.fiber.context);
  std::ptrdiff_t const distance = g_note_distance.load(kRelaxed);  // relaxed: the same each time
  return frame != nullptr && distance != 0 ? reinterpret_cast<const ParkNote*>(frame - distance)
                                           : nullptr;
}
#endif

void discard_unused_stack(const Goroutine& parked) noexcept {
  if (char* const end = stack_pointer_of(parked.fiber.context)) {
    discard_below(*parked.stack, end);
  }
}

namespace {

HAMGAM_INLINE void make_runnable(Goroutine* g) noexcept {
  g->wait_reason.store(nullptr, kRelaxed);  // relaxed: for dumps
  if (Worker* w = this_worker()) {
    push_next(*w, g);
  } else {
    push_global(g);
  }
}

HAMGAM_COLD void ready_watched(Goroutine* g) noexcept {
  watch_wake(*g);
  make_runnable(g);
}

}  // namespace

void ready(Goroutine* g) noexcept {
  if (watched()) {
    ready_watched(g);  // apart, so that nothing need be kept over a call
    return;
  }
  make_runnable(g);
}

void yield_goroutine() noexcept {
  Worker* w = this_worker();
  if (HAMGAM_UNLIKELY(w->untold_ends != 0)) {
    tell_ends(*w);
  }
  Goroutine* g = w->current.load(kRelaxed);  // relaxed: ours
  if (HAMGAM_UNLIKELY(g->pinned != 0)) {
    yield_pinned(*w);
    return;
  }
  Goroutine* next = next_local(*w);
  w->after_argument = g;
  if (HAMGAM_LIKELY(next != nullptr && kSwitchDirectly && bind(*w, *next))) {
    // The goroutine may only be found once it is off its stack, hence by the action. It is no new
    // work: whoever should share the ring was woken when it was filled.
    w->after = [](void* left) noexcept {
      push_ring(*this_worker(), static_cast<Goroutine*>(left));
    };
    switch_to(w, *g, *next);
    return;
  }
  // relaxed throughout: hints; what is missed now is seen at the next scheduling point
  if (next == nullptr && w->slot.load(kRelaxed) == Worker::kHeld &&
      w->tick.load(kRelaxed) % kFairTicks != 0 && g_scheduler.global.empty()) {
    return;  // nobody else wants to run here
  }
  if (next != nullptr && !kSwitchDirectly) {
    push_ring(*w, next);
  }
  // The base looks at the global queue before this worker can fall asleep: nobody need be woken.
  w->after = [](void* left) noexcept { g_scheduler.global.push(static_cast<Goroutine*>(left)); };
  switch_to(w, *g, w->base);
}

bool yield_to_only_other() noexcept {
  Worker* w = this_worker();
  if (w == nullptr || !w->queue.has_next() || !w->queue.ring_empty()) {
    return false;
  }
  yield_goroutine();
  return true;
}

bool worth_spinning() noexcept {
  Worker* w = this_worker();
  Idle& idle = g_scheduler.idle;
  return idle.width() > 1 && idle.active() > (w != nullptr ? 1U : 0U) &&
         (w == nullptr || (w->queue.ring_empty() && !w->queue.has_next()));
}

unsigned worker_index() noexcept {
  Worker* w = this_worker();
  return w != nullptr ? w->index + 1 : 0;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
