// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// The stacks of those that run, or keep their thread while they wait, plain threads among them: the
// thread is asked by a signal (os/ask.h), and its handler walks what it has interrupted. It takes
// no lock and no memory, and writes into a Look, of which there is a fixed number.
//
// Look::state                                    by
//   kFree      -> kAsked       who asks, under `asking`
//   kAsked     -> kAnswered    the handler, when all is written
//   kAnswered  -> kFree        who asks, when all is read
//   kAsked     -> kFree        who asks and waits no longer, if it has taken the Look back
//   kAsked     -> kAbandoned   the same, if the handler has it (CAS, against kAnswered)
//   kAbandoned -> kFree        the handler, at its end
// ThreadRecord::look
//   null -> the Look           who asks, before the signal
//   the Look -> null           an exchange: by the handler, who answers; or by who asks and waits
//                              no longer
// So a handler that comes late finds none, and touches nothing; or it finds one of another who has
// asked since, and answers that. A Look that a handler holds on to is not used again before it is
// done. The record outlives its thread, whose next owner never hears of the signal: then the Look
// is taken back.
//
// Which goroutine it is, is said by the handler: that which runs on the thread at that moment. It
// looks whether the stack pointer is in that goroutine's stack, too: in the middle of a switch, or
// in the handler of another signal, it is not, and nothing is seen.
//
// What may go wrong with the walk. Who has been interrupted may have any lock: of malloc, of the
// loader, of ours. None is taken: the unwinder finds its tables without (can_unwind_in_handlers),
// and what is done the first time was done before (unwind_here). The thread_locals that are read
// are in the static block of the thread. Code without tables, or with wrong ones, ends the walk, or
// makes it fault, which ends it as well (escape_unwind). A thread without an alternate stack is not
// asked if it runs goroutines: their stacks may have no room. Plain threads are asked if they wait
// for something of ours.
//
// Calls that block go on afterwards, or begin anew (SA_RESTART); but for those that never do, as
// poll, epoll_wait and nanosleep: they return EINTR. That is why nobody is asked but for people who
// want to see stacks.

#include <cstddef>
#include <cstdint>

#include "hamgam/detail/atomic.h"
#include "os/clock.h"
#include "sched/threads.h"

namespace hamgam::inline HAMGAM_ABI::detail {

struct Goroutine;

struct Look {
  static constexpr std::size_t kFrames = 64;
  enum State : std::uint32_t { kFree, kAsked, kAnswered, kAbandoned };

  atomic<State> state{kFree};
  // By the handler.
  const Goroutine* goroutine = nullptr;  // null: none, or nothing could be seen of it
  std::uint64_t id = 0;
  std::uint32_t tick = 0;        // its worker's
  const char* reason = nullptr;  // what a plain thread waits for
  std::size_t count = 0;         // as unwind() returns it
  const void* frames[kFrames] = {};
};

// Some threads, asked at the same time. One at a time lives, others wait for it; so it must not
// live over a park.
class Looks {
 public:
  static constexpr std::size_t kMost = 64;

  // `patience`: how long their answers may take, all together. `dying`: whoever asks may never be
  // done, then nobody is asked.
  Looks(Nanos patience, bool dying) noexcept;
  ~Looks();
  Looks(const Looks&) = delete;
  Looks& operator=(const Looks&) = delete;

  // Asks one. At most kMost. One that is asked already, since it was met at two places while it
  // moved, is not asked twice: two Looks have no room in its record.
  void ask(ThreadRecord& thread) noexcept;

  // Until all have answered, or for so long. Afterwards each is read by its number: null if there
  // was no answer; it names no goroutine if there was none on its stack.
  void wait() noexcept;
  [[nodiscard]] const Look* answer(std::size_t index) const noexcept { return looks_[index]; }

 private:
  void take_back(std::size_t i) noexcept;

  Nanos const patience_;
  bool works_;
  std::size_t count_ = 0;
  ThreadRecord* threads_[kMost] = {};
  Look* looks_[kMost] = {};  // null: could not be asked, or did not answer
};

// The answers take microseconds; but a thread may wait for a CPU.
inline constexpr Nanos kLookPatience = 50 * kMillisecond;

}  // namespace hamgam::inline HAMGAM_ABI::detail
