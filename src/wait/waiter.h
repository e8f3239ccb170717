// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Waiter: somebody who sleeps, a goroutine or a plain thread. It stands on the sleeper's own stack,
// so a waker must copy out of it what it needs before it wakes: afterwards it may be gone (wake()
// does).

#include <cstdint>
#include <stop_token>

#include "hamgam/detail/atomic.h"
#include "os/clock.h"
#include "sched/park.h"

namespace hamgam::inline HAMGAM_ABI::detail {

struct Goroutine;

enum class Wake : std::uint8_t {
  kNone,      // still waiting
  kWoken,     // by wake()
  kTimedOut,  // its deadline passed first
  kStopped,   // its stop_token was first
};

// Who may touch what: `goroutine` and `since` are set by the sleeper before it queues. The links,
// `queued`, `awake`, `interrupted` and `outcome` belong to the bucket's lock; `token` is between
// the waker and the sleeper: it is written before the wake and read after it.
struct Waiter {
  explicit Waiter(const void* on) noexcept : address(on), goroutine(current_goroutine()) {}
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  atomic<const void*> address;  // changed under the locks of both buckets
  Goroutine* const goroutine;   // null: a plain thread
  Nanos since = 0;              // when it began to wait; 0: not asked yet
  std::uintptr_t token = 0;     // the waker's word to the sleeper

  Waiter* next = nullptr;  // behind it on the same address
  Waiter* last = nullptr;  // in the first of an address: the last one
  // In the first of an address: its place in the bucket's treap.
  Waiter* parent = nullptr;
  Waiter* left = nullptr;
  Waiter* right = nullptr;
  std::uint32_t priority = 0;

  bool queued = false;
  bool awake = false;  // queued but not asleep yet: whoever takes it off only sets the outcome
  bool waits_for_ever = true;
  Wake interrupted = Wake::kNone;
  Wake outcome = Wake::kNone;
  Nanos deadline = kForever;      // a plain thread watches it itself
  atomic<std::uint32_t> word{0};  // a plain thread's futex: 1 once woken
};

// A plain thread sleeps until it is woken or interrupted; it is queued, its bucket no longer
// locked.
Wake sleep_thread(Waiter& waiter) noexcept;

// Ends the sleep of a waiter that was taken off its queue. Its last touch of the waiter is inside.
void wake(Waiter& waiter) noexcept;

// While it lives, the waiter's sleeps end when the deadline passes or the token is stopped, and
// further ones do not begin. When its destructor returns, nobody looks at the waiter any more.
class Interrupt {
 public:
  // Throws std::bad_alloc.
  Interrupt(Waiter& waiter, Nanos deadline);
  Interrupt(Waiter& waiter, std::stop_token token);
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

 private:
  struct Stop {
    Waiter* waiter;
    void operator()() const noexcept;
  };
  struct Alarm : Timer {
    Waiter* waiter = nullptr;
  };

  Alarm alarm_;
  std::stop_callback<Stop> stop_;
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
