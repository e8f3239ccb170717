// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Time: the clock that deadlines are measured on, sleeping, and timers.
//
//   Ticker ticker(100ms);
//   while (select(on_recv(done), on_recv(ticker.chan())) != 0) {
//     report();
//   }
//
// Everything fires at the time or later, never before. Any duration will do, as everywhere in this
// library: integers, signed or not, and floating point; what is too long lasts 292 years, what is
// not positive, or not a number, is over. So do time points of any clock: until that clock says so.
// If it is set back meanwhile, the wait lasts longer; if it is set forward, that is seen when the
// wait as it was at first is over. (net.h and file.h look at another clock than Clock once, when
// they are called.) A tick says when it was due, however late it is received. The channel of a
// timer looks unbuffered (len and cap are 0) and is never closed; after stop or reset nothing is
// received from it that was due before. From goroutines and plain threads alike.
//
// Where there is no memory (some 16 bytes for each that waits at the same time): sleep and
// sleep_until throw std::bad_alloc; a receive from the channel of a timer, which has its receiver
// queued by then, and a select with it, are the fatal error "out of memory: no room for a timer".
//
// Happens-before: the making (or reset) of an after_func is before the start of its f, that of a
// Timer or Ticker before the receive of its ticks. A request to stop is before the return of the
// sleep that it ends.

#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <type_traits>
#include <utility>

#include "hamgam/chan.h"
#include "hamgam/detail/clock.h"
#include "hamgam/detail/config.h"
#include "hamgam/detail/deadline.h"
#include "hamgam/detail/fatal.h"
#include "hamgam/detail/job.h"

namespace hamgam::inline HAMGAM_ABI {

namespace detail {
HAMGAM_API void sleep_until_nanos(std::int64_t deadline);
[[nodiscard]] HAMGAM_API bool sleep_until_nanos(std::int64_t deadline, std::stop_token token);
}  // namespace detail

// Suspends the calling goroutine (a plain thread: sleeps) for at least d; returns at once if d <=
// 0.
template <class Rep, class Period>
void sleep(const std::chrono::duration<Rep, Period>& d) {
  detail::sleep_until_nanos(detail::deadline_after(d));
}

// As above, until t.
template <class C, class D>
void sleep_until(const std::chrono::time_point<C, D>& t) {
  (void)detail::attempt_until(t, [](std::int64_t deadline) {
    detail::sleep_until_nanos(deadline);
    return false;
  });
}

// False if stop was requested before the time was over.
template <class Rep, class Period>
[[nodiscard]] bool sleep(const std::chrono::duration<Rep, Period>& d, std::stop_token token) {
  return detail::sleep_until_nanos(detail::deadline_after(d), std::move(token));
}

// So that sleep(1) is not POSIX's, which would block the worker; sleep(1U) is ambiguous.
template <std::integral I>
void sleep(I) = delete;  // a number has no unit: sleep(1s), sleep(10ms)
void sleep(unsigned) = delete;

namespace detail {

struct FuncTimer;

struct DropFuncTimer {
  HAMGAM_API void operator()(FuncTimer* timer) const noexcept;
};
using FuncTimerRef = std::unique_ptr<FuncTimer, DropFuncTimer>;

// A channel on which a tick arrives at `due`, and again after each `period` if that is not 0.
HAMGAM_API ChanCore* new_timer_chan(std::int64_t due, std::int64_t period);
HAMGAM_API bool stop_timer_chan(ChanCore* chan) noexcept;
HAMGAM_API bool reset_timer_chan(ChanCore* chan, std::int64_t due, std::int64_t period);

HAMGAM_API FuncTimerRef new_func_timer(std::int64_t due, std::unique_ptr<Job> job);
HAMGAM_API bool stop_func_timer(FuncTimer& timer) noexcept;
HAMGAM_API bool reset_func_timer(FuncTimer& timer, std::int64_t due);

inline RecvChan<TimePoint> timer_chan(std::int64_t due, std::int64_t period) {
  return ChanAccess::adopt<TimePoint>(new_timer_chan(due, period));
}

// Of a ticker; its first tick and all that follow.
template <class Rep, class Period>
std::int64_t interval(const std::chrono::duration<Rep, Period>& d, const char* panic) {
  std::int64_t const nanos = saturated_nanos(d);
  if (nanos <= 0) {
    throw_panic(panic);
  }
  return nanos;
}

}  // namespace detail

// A channel on which one tick arrives after d. These throw std::bad_alloc if there is no memory.
template <class Rep, class Period>
[[nodiscard]] RecvChan<TimePoint> after(const std::chrono::duration<Rep, Period>& d) {
  return detail::timer_chan(detail::deadline_after(d), 0);
}

// One tick after some time. Move-only; dropping it cancels nothing: who holds the channel gets the
// tick, and the f of an after_func is called. An empty one, default-made or moved from, has the nil
// channel, and its stop and reset are Panics: "time: Stop called on uninitialized Timer", "time:
// Reset called on uninitialized Timer".
class [[nodiscard]] Timer {
 public:
  // Empty, or one whose tick arrives after d.
  Timer() noexcept = default;

  template <class Rep, class Period>
  explicit Timer(const std::chrono::duration<Rep, Period>& d) : chan_(after(d)) {}

  // The nil channel for an after_func.
  [[nodiscard]] RecvChan<TimePoint> chan() const noexcept { return chan_; }

  // True if the tick had not been received, and now will not be; after_func: if f had not been
  // started and now will not be. It does not wait for f.
  bool stop() {
    if (func_ != nullptr) {
      return detail::stop_func_timer(*func_);
    }
    return detail::stop_timer_chan(core("time: Stop called on uninitialized Timer"));
  }

  // Starts it anew, with the answer of stop().
  template <class Rep, class Period>
  bool reset(const std::chrono::duration<Rep, Period>& d) {
    if (func_ != nullptr) {
      return detail::reset_func_timer(*func_, detail::deadline_after(d));
    }
    return detail::reset_timer_chan(core("time: Reset called on uninitialized Timer"),
                                    detail::deadline_after(d), 0);
  }

 private:
  template <class Rep, class Period, class F>
    requires std::invocable<std::decay_t<F>&>
  friend Timer after_func(const std::chrono::duration<Rep, Period>& d, F&& f);

  explicit Timer(detail::FuncTimerRef func) noexcept : func_(std::move(func)) {}

  [[nodiscard]] detail::ChanCore* core(const char* panic) const {
    if (!chan_) {
      detail::throw_panic(panic);
    }
    return detail::ChanAccess::core<TimePoint>(chan_);
  }

  RecvChan<TimePoint> chan_;
  detail::FuncTimerRef func_;
};

// Calls f in a goroutine of its own after d, and again after each reset; f may stop, reset, move or
// destroy the Timer. f and what it captured live as long as it can be called: until the Timer is
// gone and f was stopped or has been called, and are then destroyed by the last of those. So stop()
// alone does not end them; `timer.stop(); timer = {};` does. A null function is a panic when it is
// due, as in Go.
template <class Rep, class Period, class F>
  requires std::invocable<std::decay_t<F>&>
Timer after_func(const std::chrono::duration<Rep, Period>& d, F&& f) {
  auto job = detail::make_job(std::forward<F>(f));
  return Timer(detail::new_func_timer(detail::deadline_after(d), std::move(job)));
}

// A tick after each interval. A receiver that is slow loses ticks: at most one waits for it.
// Move-only; stops in its destructor. Panic "non-positive interval for NewTicker". An empty one,
// default-made or moved from, has the nil channel; its stop does nothing, its reset is a Panic:
// "time: Reset called on uninitialized Ticker".
class [[nodiscard]] Ticker {
 public:
  // Empty, or one whose first tick arrives after d.
  Ticker() noexcept = default;

  template <class Rep, class Period>
  explicit Ticker(const std::chrono::duration<Rep, Period>& d) {
    std::int64_t const period = detail::interval(d, "non-positive interval for NewTicker");
    chan_ = detail::timer_chan(detail::deadline_after(d), period);
  }
  Ticker(Ticker&&) noexcept = default;
  Ticker& operator=(Ticker&& other) noexcept {
    if (this != &other) {
      stop();
      chan_ = std::move(other.chan_);
    }
    return *this;
  }
  ~Ticker() { stop(); }

  // The ticks: when each was due.
  [[nodiscard]] RecvChan<TimePoint> chan() const noexcept { return chan_; }

  // No tick after it. The channel stays open.
  void stop() noexcept {
    if (chan_) {
      (void)detail::stop_timer_chan(detail::ChanAccess::core<TimePoint>(chan_));
    }
  }

  // The next tick comes after d, and so on. Panic "non-positive interval for Ticker.Reset".
  template <class Rep, class Period>
  void reset(const std::chrono::duration<Rep, Period>& d) {
    std::int64_t const period = detail::interval(d, "non-positive interval for Ticker.Reset");
    if (!chan_) {
      detail::throw_panic("time: Reset called on uninitialized Ticker");
    }
    (void)detail::reset_timer_chan(detail::ChanAccess::core<TimePoint>(chan_),
                                   detail::deadline_after(d), period);
  }

 private:
  RecvChan<TimePoint> chan_;
};

}  // namespace hamgam::inline HAMGAM_ABI
