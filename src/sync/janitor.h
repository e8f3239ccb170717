// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// The janitor: a thread that looks at all pools once per period, for want of a garbage collector.
// It is started by the first pool that has anything to lose and sleeps for good while none has.
// Rejected: to do this on the scheduler's monitor, which must never wait for a program's
// destructors.
//
// For the detection of deadlocks it counts as a thread that sleeps, also while it works: as in Go,
// what only a destructor could wake is stuck.

#include <cstdint>

#include "hamgam/mutex.h"
#include "os/clock.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// What the janitor looks at.
class Aged {
 public:
  Aged(const Aged&) = delete;
  Aged& operator=(const Aged&) = delete;

  // A period is over. True: there will be something to do after the next one, too.
  virtual bool age() noexcept = 0;

 protected:
  Aged() = default;
  ~Aged() = default;

 private:
  friend class Janitor;
  // Under the janitor's lock.
  Aged* prev_ = nullptr;
  Aged* next_ = nullptr;
  std::uint64_t pass_ = 0;  // the last one that looked at it
  Mutex aging_;             // held during age()
};

inline constexpr Nanos kTrimPeriod = 1000 * kMillisecond;

void enlist(Aged& aged) noexcept;
// When it returns, no age() of it runs, nor ever will.
void strike_off(Aged& aged) noexcept;
// Something has to be aged from now on.
void rouse_janitor() noexcept;

// For tests: one pass now, on this thread; and none by the janitor for as long as it is suspended.
void age_all() noexcept;
void suspend_janitor(bool suspended) noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
