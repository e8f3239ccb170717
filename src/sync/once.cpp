// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/once.h"

#include "base/fatal.h"
#include "wait/parking_lot.h"

// The slow paths of Once. Its states stand in the header.
//
// Why no wake-up is lost: a late caller sleeps only after it has, under the bucket's lock, set
// kParked by a CAS that saw a runner; the runner's end sees kParked, so it sets the final state and
// takes the sleepers off under the same lock. After that it touches the object no more. If f threw
// it takes one, for one is enough to try again, and leaves kParked if there are more: whoever is
// the next to begin, that one or another, keeps it, and serves them at its own end.

namespace hamgam::inline HAMGAM_ABI {

namespace {

using detail::Bucket;
using detail::kAcquire;
using detail::kRelaxed;
using detail::kRelease;
using detail::Waiter;

// Who is calling: an address that nobody else has meanwhile.
std::uintptr_t caller() noexcept {
  if (const void* goroutine = detail::current_goroutine()) {
    return reinterpret_cast<std::uintptr_t>(goroutine);
  }
  alignas(4) static thread_local char t_place;
  return reinterpret_cast<std::uintptr_t>(&t_place);
}

}  // namespace

HAMGAM_NOINLINE bool Once::begin() noexcept {
  std::uintptr_t const self = caller();
  for (;;) {
    std::uintptr_t state =
        state_.load(kAcquire);  // [once.4] acquire, pairs with [once.2], [once.3]
    if (state == kDone) {
      return false;
    }
    if ((state & ~kParked) == 0) {
      // [once.5] acquire, pairs with [once.2], [once.3]: what a call that threw has left behind
      if (state_.compare_exchange_strong(state, self | state, kAcquire, kRelaxed)) {
        detail::tsan_acquire(this);
        return true;
      }
      continue;
    }
    if ((state & ~kParked) == self) {
      detail::fatal("sync: Once.call called from inside its own function");
    }
    Waiter me(&state_);
    Bucket& bucket = detail::bucket_of(&state_);
    bucket.lock();
    // relaxed: the bucket's lock orders it with the runner's look at the queue
    if (!state_.compare_exchange_strong(state, state | kParked, kRelaxed, kRelaxed)) {
      bucket.unlock();
      continue;
    }
    bucket.push_back(me);
    (void)bucket.sleep(me, "sync.Once.Do");
  }
}

HAMGAM_NOINLINE void Once::end(std::uintptr_t state) noexcept {
  detail::tsan_release(this);
  std::uintptr_t expected = caller();
  // [once.2] release, pairs with [once.1], [once.4], [once.5]: what f did
  if (state_.compare_exchange_strong(expected, state, kRelease, kRelaxed)) {
    return;
  }
  Bucket& bucket = detail::bucket_of(&state_);
  bucket.lock();
  Waiter* const sleepers = state == kDone ? bucket.pop_all(&state_) : bucket.pop(&state_);
  if (state != kDone && bucket.first(&state_) != nullptr) {
    state = kParked;
  }
  state_.store(state, kRelease);  // [once.3] release, pairs with [once.1], [once.4], [once.5]
  bucket.unlock();
  if (state == kDone) {
    detail::wake_all(sleepers);
  } else if (sleepers != nullptr) {
    detail::wake(*sleepers);
  }
}

}  // namespace hamgam::inline HAMGAM_ABI
