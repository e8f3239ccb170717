// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// To look at the stacks of goroutines that do not run, while the world goes on.
//
// Who looks holds a few of them for some microseconds each: whoever would resume one that is held
// puts it aside instead, and who looked makes it runnable again. No worker waits for that: it runs
// others. Nothing is told to those that run.
//
// Two bytes in the goroutine's Context:
//   saved   false -> true   by the switch away from it, when all is saved and it is off its stack
//           true -> false   by the one who takes it from a queue to resume it (claim)
//   held    false <-> true  by who looks, under `looking`; true -> false under `aside_lock` too
//
//   [hold.2] resumer:  clear saved; light barrier; load held, and if it is set:
//                      under aside_lock: held still? aside, else go on
//   [hold.1] looker:   set held of all; heavy barrier; load saved: true, and it is ours
//                      look
//   [hold.3]           under aside_lock: clear held of all, take those aside; make them runnable
//
// Why one that is ours stays where it is. A resumer that loaded held as false did so before the
// barrier reached its thread, so it cleared saved before that, which the looker sees, unless the
// goroutine was saved again since. Then the same holds for its next resumer.
// Why it does not run while it is looked at: who finds that it is not held any more has seen the
// store of [hold.3], which is behind the looks.
// Why none is lost. Both ways out of a meeting are under aside_lock: whoever comes aside does so
// before held is cleared, and the looker takes all that are aside at that moment.
// Who ends is never saved, so no stack is looked at that is given to others. Whatever a record's
// goroutine is, it is known by what is read between the two.
// Two who look take turns, a batch each. The goroutine that looks is itself not saved.
// test/model/hold.py searches all interleavings, on a machine that keeps stores in order: what each
// store publishes elsewhere is the tags'.
//
// Where the heavy barrier is refused by the system, or the switch does not tell (ucontext), nobody
// is held, and no stack is seen.
//
// Rejected: to stop the world, as Go does (seconds with 100,000 goroutines). Rejected: the waker
// looks (ready): it is one for each park only, but those that are runnable would not be seen.
// Rejected: copies of stacks, looked at later: the unwinder follows saved frame pointers out of
// them.

#include <cstddef>

#include "hamgam/detail/light_barrier.h"
#include "sched/goroutine.h"

namespace hamgam::inline HAMGAM_ABI::detail {

HAMGAM_NOINLINE bool stay_aside(Goroutine& g) noexcept;

// By the one who is about to resume it. False: it is held, and was put aside.
HAMGAM_INLINE bool claim(Goroutine& g) noexcept {
  if constexpr (!kTellsWhenSaved) {
    return true;
  }
  g.fiber.context.saved.store(false, kRelaxed);  // relaxed: [hold.2] pairs with [hold.1], fenced
  light_barrier();
  // [hold.4] acquire, pairs with [hold.3]: who looked has done so
  return HAMGAM_LIKELY(!g.fiber.context.held.load(kAcquire)) || stay_aside(g);
}

// Some goroutines, held while it lives. It must not live over a park.
class Hold {
 public:
  static constexpr std::size_t kMost = 64;

  // In a process that dies: whoever holds others may never be done.
  enum Patience { kPatient, kDying };

  // What is no goroutine any more, or runs, is not held.
  Hold(Goroutine* const* records, std::size_t count, Patience patience = kPatient) noexcept;
  ~Hold();
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;

  // It is off its stack and stays so.
  [[nodiscard]] bool has(std::size_t index) const noexcept;

 private:
  void give_back() noexcept;

  Goroutine* const* const records_;
  std::size_t const count_;
  bool works_;
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
