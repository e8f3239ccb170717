// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <new>

#include "base/own_containers.h"
#include "hamgam/go.h"
#include "os/fork.h"
#include "sched/switch.h"
#include "sched/threads.h"

// A goroutine's birth and end.

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr std::uint64_t kIdBlock = 64;
constexpr unsigned kMostUntold = 256;

std::uint64_t fresh_id(Worker& w) noexcept {
  if (HAMGAM_UNLIKELY(w.next_id == w.end_id)) {
    w.next_id = g_scheduler.next_id.fetch_add(kIdBlock, kRelaxed);  // relaxed: only unique
    w.end_id = w.next_id + kIdBlock;
  }
  return w.next_id++;
}

void recycle(Worker& w, Goroutine* g) noexcept {
  if (HAMGAM_UNLIKELY(g->extras != nullptr)) {
    free_extras(*g);
  }
  g->id.store(0, kRelaxed);  // relaxed: for dumps
  w.records.give(g);
}

// After-switch action of a goroutine that ended.
void bury(void* raw) noexcept {
  auto* g = static_cast<Goroutine*>(raw);
  Worker& w = *this_worker();
  retire_fiber(g->fiber);
  Stack* stack = g->stack;
  g->stack = nullptr;
  if (g->extras != nullptr && g->extras->stack_size != 0) {
    give_sized_stack(stack);
  } else {
    w.stacks.give(stack);
  }
  recycle(w, g);
}

// Out of line, so that the frames of fiber_entry keep nothing alive over it. No catch-all: an
// exception that nobody handles is found to be unhandled while its whole stack stands, and
// std::terminate is called from the throw.
HAMGAM_NOINLINE void run_closure(Goroutine* g) {
  try {
    g->invoke(g->argument);
  } catch (const GoexitSignal&) {
    // The goroutine ends here.
  }
}

HAMGAM_NOINLINE void inherit(Goroutine& g, std::uint64_t scope) noexcept {
  if (scope != 0) {
    set_scope(g, scope);
  }
}

// Remembers that g ended. Whoever waits for it and its like is told by tell_ends.
void note_end(Worker& w, const Goroutine& g) noexcept {
  if (w.untold_ends != 0 && w.untold_subject != g.end_subject) {
    tell_ends(w);
  }
  w.untold = g.on_end;
  w.untold_subject = g.end_subject;
  ++w.untold_ends;
}

// May its telling wait until `next`, which runs now and here, has ended too?
bool can_tell_later(const Worker& w, const Goroutine& next) noexcept {
  return w.untold_ends == 0 ||
         (next.end_subject == w.untold_subject && w.untold_ends < kMostUntold);
}

// May the next goroutine go on on the stack of the one that ended?
bool can_inherit(const Goroutine& ended, const Goroutine& next) noexcept {
  return kReuseHotStack && next.stack == nullptr && next.extras == nullptr &&
         ended.extras == nullptr;
}

}  // namespace

GoroutineHead* try_new_goroutine() noexcept {
  if (Worker* w = this_worker()) {
    return w->records.take();
  }
  ensure_started();
  (void)this_thread_record();  // for its exit()
  return take_shared_record();
}

GoroutineHead* new_goroutine() {
  auto* g = static_cast<Goroutine*>(try_new_goroutine());
  // relaxed: a hint
  if (HAMGAM_UNLIKELY(g == nullptr || g_scheduler.has_starved.load(kRelaxed))) {
    if (g != nullptr) {
      discard_goroutine(g);
    }
    throw std::bad_alloc();
  }
  return g;
}

GoroutineHead* new_goroutine(GoOptions&& options) {
  auto* g = static_cast<Goroutine*>(new_goroutine());
  try {
    give_extras(*g, new GoroutineExtras{OwnString(options.name), options.stack_size});
  } catch (...) {
    discard_goroutine(g);
    throw;
  }
  return g;
}

void discard_goroutine(GoroutineHead* head) noexcept {
  auto* g = static_cast<Goroutine*>(head);
  if (g->extras != nullptr) {
    free_extras(*g);
  }
  if (Worker* w = this_worker()) {
    w->records.give(g);
  } else {
    give_shared_record(g);
  }
}

HAMGAM_NOINLINE void start_goroutine(GoroutineHead* head, void (*invoke)(void*), void* closure,
                                     OnEnd on_end, void* end_subject) noexcept {
  auto* g = static_cast<Goroutine*>(head);
  g->invoke = invoke;
  g->argument = closure;
  g->on_end = on_end;
  g->end_subject = end_subject;
  g->created_at = __builtin_return_address(0);
  tsan_forget(g);  // the record has been another's
  tsan_release(g);
  if (Worker* w = this_worker()) {
    const Goroutine& creator = *w->current.load(kRelaxed);  // relaxed: ours
    if (HAMGAM_UNLIKELY(creator.extras != nullptr)) {
      inherit(*g, creator.extras->scope);
    }
    g->created_by = creator.id.load(kRelaxed);                  // relaxed: ours
    g->id.store(fresh_id(*w), kRelaxed);                        // relaxed: for dumps
    w->started.store(w->started.load(kRelaxed) + 1, kRelaxed);  // relaxed: ours, a statistic
    if (watched()) {
      watch_spawn(*g);
    }
    push_new(*w, g);
  } else {
    inherit(*g, thread_scope());
    g->created_by = 0;
    g->id.store(g_scheduler.next_id.fetch_add(1, kRelaxed), kRelaxed);  // relaxed: only unique
    g_scheduler.started_by_threads.fetch_add(1, kRelaxed);              // relaxed: a statistic
    if (watched()) {
      watch_spawn(*g);
    }
    push_global(g);
  }
}

}  // namespace hamgam::inline HAMGAM_ABI::detail

// The bottom of each goroutine's stack. One that ends is followed, without a switch, by any that
// have not run yet; these then share its stack, hot in the cache.
extern "C" void hamgam_fiber_entry(void* pass) {
  using namespace hamgam::detail;
  enter_fiber();
  auto* w = static_cast<Worker*>(pass);
  run_after_switch(*w);
  for (;;) {
    Goroutine* g = w->current.load(kRelaxed);  // relaxed: ours
    tsan_acquire(g);
    run_closure(g);
    w = this_worker();
    if (HAMGAM_UNLIKELY(w == nullptr)) {
      refuse_in_child();
    }
    if (watched()) {
      watch_end(*g);
    }
    w->ended.store(w->ended.load(kRelaxed) + 1, kRelaxed);  // relaxed: ours, a statistic
    if (g->on_end != nullptr) {
      note_end(*w, *g);
    }
    Goroutine* next = kSwitchDirectly ? next_local(*w) : nullptr;
    bool const inherits = next != nullptr && can_inherit(*g, *next);
    if (w->untold_ends != 0 && !(inherits && can_tell_later(*w, *next))) {
      tell_ends(*w);
      if (next == nullptr && kSwitchDirectly) {
        next = next_local(*w);  // whom that woke
      }
    }
    if (HAMGAM_LIKELY(inherits)) {
      next->stack = g->stack;
      g->stack = nullptr;
      if (watched()) {
        watch_switch(*w, *g, *next, kTraceEnded);
      }
      recycle(*w, g);
      w->current.store(next, kRelaxed);  // relaxed: for the monitor and dumps
      continue;
    }
    if (next == nullptr || !bind(*w, *next)) {
      next = &w->base;
    }
    w->after = &bury;
    w->after_argument = g;
    switch_to<true>(w, *g, *next);
    __builtin_unreachable();
  }
}
