// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// A wait that may be given up: f(me) with a waiter on the address, whose sleeps end at the
// deadline, or when stop is requested. Returns what f does, and nothing of it, without a wait, if
// the deadline has passed. Throws std::bad_alloc if there is no memory for a timer.

#include <stop_token>
#include <utility>

#include "os/clock.h"
#include "wait/waiter.h"

namespace hamgam::inline HAMGAM_ABI::detail {

template <class F>
auto interruptible(const void* address, Nanos deadline, F f)
    -> decltype(f(std::declval<Waiter&>())) {
  if (deadline != kForever && deadline <= now()) {
    return {};
  }
  Waiter me(address);
  Interrupt const interrupt(me, deadline);
  return f(me);
}

template <class F>
auto interruptible(const void* address, std::stop_token token, F f) {
  Waiter me(address);
  Interrupt const interrupt(me, std::move(token));
  return f(me);
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
