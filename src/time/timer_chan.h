// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// TimerChan: what fills the channel of a Timer or a Ticker, in one block of memory with the
// channel.
//
// The channel has room for one tick, which is not seen from outside. A tick is put in when somebody
// looks at the channel and it is due; the scheduler's timer (`alarm_`) is used only while somebody
// waits. So a timer that nobody waits for costs nothing but its memory, stopping it is two stores,
// it needs no heap to be kept alive, and a tick cannot be stale: stop and reset take it out under
// the same lock.
//
//   due_         when the next tick is due; kForever: stopped, or the one tick was made
//   alarm_at_    when alarm_ will fire; kForever: it is not queued, or fires now and waits for
//                the lock
// Invariants: (1) if a receiver waits and due_ is not kForever, alarm_at_ <= due_, or the alarm
// fires now. (2) alarm_ is queued or fires only while the channel lives: the one that drops the
// last reference removes it. Thread safety: all members under the channel's lock. Lock order: the
// channel's, then the timer heap's; alarm_ fires without the latter.
//
// Rejected: a goroutine or a heap entry per timer from its birth (a million requests with a
// time-out each would fill the heaps with what is never looked at). After Go 1.23's
// runtime/time.go.

#include <cstddef>

#include "chan/chan_core.h"
#include "hamgam/detail/clock.h"
#include "os/clock.h"
#include "sched/park.h"

namespace hamgam::inline HAMGAM_ABI::detail {

class TimerChan final : ChanSource {
 public:
  // period 0: one tick. Throws std::bad_alloc.
  static ChanCore* make(Nanos due, Nanos period);

  // The source of a channel that make() gave.
  static TimerChan& of(ChanCore& chan) noexcept;

  // No tick after it. True if one was to come, or had not been received.
  bool stop() noexcept;

  // The same, and then the next tick is due at that moment.
  bool reset(Nanos due, Nanos period);

 private:
  struct Block;
  struct Alarm : Timer {
    TimerChan* chan = nullptr;
  };

  TimerChan(ChanCore& chan, Nanos due, Nanos period) noexcept;
  ~TimerChan() = default;

  void poll() noexcept override;
  void awaited() noexcept override;
  void dispose() noexcept override;

  bool clear() noexcept;
  Nanos take_tick(Nanos time) noexcept;
  void set_alarm();
  void ring() noexcept;

  ChanCore& chan_;
  Nanos due_;
  Nanos period_;
  Nanos alarm_at_ = kForever;
  Alarm alarm_;
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
