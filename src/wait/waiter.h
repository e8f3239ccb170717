// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Waiter: one who sleeps in the parking lot.

#include <cstdint>

#include "hamgam/detail/atomic.h"
#include "os/clock.h"
#include "wait/sleeper.h"
#include "wait/wait_profile.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// Who may touch what: `since` is set by the sleeper before it queues. The links, `queued`,
// `awake`, `interrupted` and `outcome` belong to the bucket's lock; `token` is between the waker
// and the sleeper: it is written before the wake and read after it.
struct Waiter : Sleeper {
  explicit Waiter(const void* on) noexcept;

  atomic<const void*> address;  // changed under the locks of both buckets
  Nanos since = 0;              // when it began to wait; 0: not asked yet
  std::uintptr_t token = 0;     // the waker's word to the sleeper

  Waiter* next = nullptr;   // behind it on the same address
  Waiter* ahead = nullptr;  // before it; null: it is the first
  Waiter* last = nullptr;   // in the first of an address: the last one
  // In the first of an address: its place in the bucket's treap.
  Waiter* parent = nullptr;
  Waiter* left = nullptr;
  Waiter* right = nullptr;
  std::uint32_t priority = 0;

  Contention contention;  // in the first of an address
  bool counted = false;   // there; under the bucket's lock

  // Of discard_unused_stacks() that found it asleep; under the bucket's lock.
  std::uint8_t looks = 0;

  bool takes_itself = false;  // set by the sleeper before it queues: no lock is handed to it

  bool queued = false;
  bool awake = false;  // queued but not asleep yet: whoever takes it off only sets the outcome
  Wake interrupted = Wake::kNone;
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
