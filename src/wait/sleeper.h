// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Sleeper: somebody who sleeps, a goroutine or a plain thread, whatever it is queued in. It stands
// on the sleeper's own stack, so a waker must copy out of it what it needs before it wakes:
// afterwards it may be gone (wake() does).

#include <cstdint>
#include <stop_token>

#include "hamgam/detail/atomic.h"
#include "os/clock.h"
#include "sched/park.h"
#include "sched/threads.h"

namespace hamgam::inline HAMGAM_ABI::detail {

struct Goroutine;

enum class Wake : std::uint8_t {
  kNone,      // still waiting
  kWoken,     // by wake()
  kTimedOut,  // its deadline passed first
  kStopped,   // its stop_token was first
};

// Who may touch what: `goroutine`, `thread`, `take_out` and `deadline` are set by the sleeper
// before it can be found. `outcome` belongs to whoever took the sleeper off its queue.
struct Sleeper {
  // Keeps wakers from finding the sleeper, for the reason `how`. True if it sleeps and nobody else
  // will wake it: the caller does. False if a waker came first, or if it does not sleep yet and
  // will see `how`.
  using TakeOut = bool (*)(Sleeper& sleeper, Wake how) noexcept;

  explicit Sleeper(TakeOut hook) noexcept : goroutine(current_goroutine()), take_out(hook) {
    if (goroutine == nullptr) {
      thread = hold_thread_record();
      thread->begin_sleep();
    }
  }
  ~Sleeper() {
    if (thread != nullptr) {
      release_thread_record(thread);
    }
  }
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;

  Goroutine* const goroutine;      // null: a plain thread
  TakeOut const take_out;          // null: it can't be interrupted
  ThreadRecord* thread = nullptr;  // a plain thread's, which it sleeps on
  Wake outcome = Wake::kNone;
  Nanos deadline = kForever;  // a plain thread watches it itself
};

// A plain thread sleeps until it is woken or interrupted; wakers can find it, no lock is held. It
// has not slept otherwise since thread->begin_sleep().
Wake sleep_thread(Sleeper& sleeper) noexcept;

// Sleeps for ever. `reason` as for park().
[[noreturn]] void sleep_for_ever(const char* reason) noexcept;

// Ends the sleep of one that was taken off its queue. Its last touch of the sleeper is inside.
void wake(Sleeper& sleeper) noexcept;

// While it lives, the sleeper's sleeps end when the deadline passes or the token is stopped, and
// further ones do not begin. When its destructor returns, nobody looks at the sleeper any more.
class Interrupt {
 public:
  // Throws std::bad_alloc.
  Interrupt(Sleeper& sleeper, Nanos deadline);
  Interrupt(Sleeper& sleeper, std::stop_token token);
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

 private:
  struct Stop {
    Sleeper* sleeper;
    void operator()() const noexcept;
  };
  struct Alarm : Timer {
    Sleeper* sleeper = nullptr;
  };

  Alarm alarm_;
  std::stop_callback<Stop> stop_;
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
