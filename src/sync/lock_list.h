// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// The locks that somebody has or waits for at the moment, while locks are watched: a glance, at
// each at a moment of its own.

#include <cstdint>
#include <vector>

#include "sync/lock_watch.h"

namespace hamgam::inline HAMGAM_ABI::detail {

struct LockInfo {
  struct Holder {
    std::uint64_t goroutine;  // 0: a plain thread,
    int thread;               // with this number
    bool shared;              // to read
    LockSite taken;
  };
  // For ever, if need be: those with a limit are not noted.
  struct Waiter {
    std::uint64_t goroutine;
    int thread;
  };

  const void* lock = nullptr;
  std::vector<Holder> holders;
  std::vector<Waiter> waiters;
};

// Those that somebody waits for first, the most first. None if locks are not watched. Throws
// std::bad_alloc.
std::vector<LockInfo> locks_in_use();

// The second was taken, there, while the first was held.
struct LockOrderInfo {
  const void* first;
  const void* second;
  std::vector<const void*> frames;
};

// As far as they are known by now. None if locks are not watched. Throws std::bad_alloc.
std::vector<LockOrderInfo> lock_orders();

// How many reports were written so far; does not wait.
std::uint64_t lock_reports_told() noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
