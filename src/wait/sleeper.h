// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Sleeper: somebody who sleeps, a goroutine or a plain thread, whatever it is queued in. It stands
// on the sleeper's own stack, so a waker must copy out of it what it needs before it wakes:
// afterwards it may be gone (wake() does).

#include <cstdint>
#include <optional>
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

  explicit Sleeper(TakeOut hook) noexcept : goroutine(goroutine_to_park()), take_out(hook) {
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

  Goroutine* const goroutine;      // null: a plain thread, or a goroutine that keeps its thread
  TakeOut const take_out;          // null: it can't be interrupted
  ThreadRecord* thread = nullptr;  // a plain thread's, which it sleeps on
  Wake outcome = Wake::kNone;
  Nanos deadline = kForever;  // a plain thread watches it itself
};

// A plain thread sleeps until it is woken or interrupted; wakers can find it, no lock is held. It
// has not slept otherwise since thread->begin_sleep(). `reason` and `object` as for park().
Wake sleep_thread(Sleeper& sleeper, const char* reason, const void* object = nullptr) noexcept;

// Sleeps for ever. `reason` as for park().
[[noreturn]] void sleep_for_ever(const char* reason) noexcept;

// Ends the sleep of one that was taken off its queue. Its last touch of the sleeper is inside.
void wake(Sleeper& sleeper) noexcept;

// Ends its sleep for the reason `how`, unless a waker comes first.
void interrupt(Sleeper& sleeper, Wake how) noexcept;

// While it lives, the sleeper's sleeps end when the deadline passes or the token is stopped, and
// further ones do not begin. When its destructor returns, nobody looks at the sleeper any more.
//
// The second sentence is not to be had from ~stop_callback alone. It waits until the callback has
// returned, unless it is called by the callback itself, and it takes any caller on the thread that
// called request_stop() for that. A goroutine R that called it, and that another callback made
// park, may have left that thread to us, and be about to run our callback, or in it, on another
// one. So:
//   * no stop was requested before the destructor, or we are a plain thread: the thread that
//     requests, then or later, is another one than ours as long as we are in here;
//   * our callback ran in a plain thread or a pinned goroutine: that had one thread all the time;
//   * our callback ran on the thread that we are on: it is over, for our callback does not park,
//     and another goroutine runs there now.
// In these cases ~stop_callback is right. Else it is left to the monitor's thread, which nobody
// calls request_stop() on, and we sleep until that is done.
// (wait/stop.cpp)
class Interrupt {
 public:
  // Throws std::bad_alloc.
  Interrupt(Sleeper& sleeper, Nanos deadline);
  Interrupt(Sleeper& sleeper, std::stop_token token) noexcept;
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

 private:
  struct Stop {
    Interrupt* self;
    void operator()() const noexcept;
  };
  struct Alarm : Timer {
    Sleeper* sleeper = nullptr;
  };
  using StopCallback = std::stop_callback<Stop>;

  [[nodiscard]] bool callback_may_be_elsewhere() const noexcept;
  HAMGAM_NOINLINE void remove_callback_elsewhere() noexcept;

  Alarm alarm_;
  Sleeper& sleeper_;
  std::stop_token token_;
  atomic<unsigned> ran_on_{0};  // the worker_index() where our callback ran, or kOneThread
  std::optional<StopCallback> stop_;
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
