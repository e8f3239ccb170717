// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// The pool of threads for calls that block: how many goroutines may be in blocking() at once.
//
// Such a call runs where it stands: the goroutine keeps its thread, and the worker's slot goes to
// another one, which is woken or started. So the threads that block are not a set of their own, but
// as many as there are places here. Who finds no place parks, in a queue, and whoever leaves gives
// his place to the first of it. (blocking.cpp)
//
// word_ (64 bits)              changed by                                     how
//   inside    bits 0..31     who enters or leaves, or is let in             RMW
//   waiting   bits 32..63    who queues; who lets in                        RMW under lock_
//
// Invariants: (1) nobody enters past one who waits: a word with waiting bits is above any limit.
// (2) inside <= limit, but for goroutines that are pinned: these keep their thread whether they
// wait or not, so they need not wait, and they could not park. (Lookups of names are pinned: who
// has the places may wait for an answer.) (3) Whoever waits does so because all places are taken,
// and each place that becomes free is given on:
//   who queues:  lock; RMW waiting, only if inside >= limit; push; unlocked when it is parked
//   who leaves:  RMW inside; if it saw anybody waiting: lock; pop
// Of the two RMWs on one word the later sees the earlier: either the place was seen to be free, or
// the one who leaves sees that somebody waits, and finds him under the lock. A limit is stored
// before its setter locks, and read under the lock by who queues. So all of it may be relaxed.
// test/model/blocking_calls.py searches all interleavings.
//
// Why a limit, and this one. Without it a thousand goroutines that ask a server which hangs cost a
// thousand threads, a hundred thousand the machine: the system refuses more threads to everybody.
// But calls may wait for each other (for a lock, for an answer that another call brings), and then
// a queue is a deadlock if the limit is below what they need: so it is far above what programs have
// at once, 10,000 as Go's, of which each costs some 20 KB; tokio's 512 are for closures that wait
// for no other. Unlike Go, which ends the process there, this one waits, says so once, and how the
// limit is changed.
// Rejected: to let one more in whenever nothing has moved for a while: it would take the limit away
// in the very case it is there for. Rejected: threads that take closures from a queue: each call
// would change threads twice, and what f knows of its thread would change with it.
//
// Calls that were not announced block their worker; the monitor makes up for that by other workers,
// as many as the system gives (kMaxWorkers). They have no place here and need none.

#include <cstdint>

#include "base/cache_line.h"
#include "base/intrusive_queue.h"
#include "hamgam/detail/atomic.h"
#include "os/spin_lock.h"

namespace hamgam::inline HAMGAM_ABI::detail {

struct Goroutine;

inline constexpr std::uint32_t kUsualBlocking = 10'000;

class BlockingCalls {
 public:
  // Takes a place for the running goroutine, which is in none: may park, and come back on another
  // thread.
  void enter(Goroutine& g) noexcept;
  // Gives it back, or on.
  void leave() noexcept;

  [[nodiscard]] std::uint32_t inside() const noexcept {
    return static_cast<std::uint32_t>(word_.load(kRelaxed));  // relaxed: a snapshot
  }
  [[nodiscard]] std::uint32_t limit() const noexcept {
    return limit_.load(kRelaxed);  // relaxed: a limit that may lag
  }
  // The former one.
  std::uint32_t set_limit(std::uint32_t limit) noexcept;

 private:
  bool try_enter() noexcept;
  void wait(Goroutine& g) noexcept;
  HAMGAM_NOINLINE void let_in() noexcept;
  void tell_once() noexcept;

  static constexpr std::uint64_t kWaiting = std::uint64_t{1} << 32;

  alignas(kCacheLine) atomic<std::uint64_t> word_{0};
  atomic<std::uint32_t> limit_{kUsualBlocking};
  atomic<bool> told_{false};
  SpinLock lock_;
  IntrusiveQueue<Goroutine> queue_;  // parked; under lock_
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
