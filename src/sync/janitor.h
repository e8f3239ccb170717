// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// The janitor: a thread that destroys what nobody uses any more, for want of a garbage collector:
// what has been unused for long in a Pool, what was removed from a Map while somebody read. It is
// started by the first that has anything to destroy and sleeps for good while none has. Rejected:
// to do this on the scheduler's monitor, which must never wait for a program's destructors.
//
// For the report of deadlocks it is asleep only while it sleeps for good: what it is going to
// destroy may wake somebody.

#include "hamgam/mutex.h"
#include "os/clock.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// What the janitor looks at.
class Aged {
 public:
  Aged(const Aged&) = delete;
  Aged& operator=(const Aged&) = delete;

  // Does what is due and says when to look again; kForever: not before attend(). It destroys last,
  // and does not touch this object any more then: the destructors may destroy it, too.
  virtual Nanos age() noexcept = 0;

 protected:
  Aged() = default;
  ~Aged() = default;

 private:
  friend class Janitor;
  // Under the janitor's lock.
  Aged* prev_ = nullptr;
  Aged* next_ = nullptr;
  Nanos due_ = kForever;  // in the list if it is not kForever
  bool over_ = false;     // struck off
  Mutex aging_;           // held during age()
};

inline constexpr Nanos kTrimPeriod = 1000 * kMillisecond;

// The janitor looks at it at that time, or a little later. False: there is no janitor to be had.
bool attend(Aged& aged, Nanos when) noexcept;
// When it returns, no age() of it runs, nor ever will; but for the one that called this.
void strike_off(Aged& aged) noexcept;

// For tests: one look at all that wait for one now, on this thread; and none by the janitor for as
// long as it is suspended.
void age_all() noexcept;
void suspend_janitor(bool suspended) noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
