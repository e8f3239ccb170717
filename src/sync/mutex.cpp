// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/mutex.h"

#include <optional>

#include "base/fatal.h"
#include "wait/parking_lot.h"

// The slow paths of Mutex. Its states stand in the header.
//
// Rejected: hand-off on every unlock (two switches per critical section: a hundred times slower once threads
// take part), Go's starvation mode (strict hand-off until the queue is empty, golang/go#33747). Here the
// lock is given to whoever comes first, and once handed to one that has waited for 1 ms.
//
// Why no wake-up is lost. A locker sleeps only after it has, under the bucket's lock, seen kLocked and set
// kParked in one CAS; so the unlock that ends that critical section sees kParked, takes the bucket's lock
// and finds the locker queued. It wakes nobody only if kAwake is set; then a waiter is awake that will
// either take the lock, and its own unlock sees kParked, or sleep again, which it does only by a CAS that
// clears kAwake while kLocked is set: that holder's unlock then wakes.

namespace hamgam::inline HAMGAM_ABI {

namespace {

using detail::Bucket;
using detail::Interrupt;
using detail::kAcquire;
using detail::kRelaxed;
using detail::kRelease;
using detail::Nanos;
using detail::Waiter;
using detail::Wake;

constexpr int kSpinRounds = 4;
constexpr int kSpinPauses = 30;
constexpr Nanos kFairAfter = detail::kMillisecond;
constexpr std::uintptr_t kHandedOver = 1;
constexpr std::uint32_t kLocked = 1;
constexpr std::uint32_t kParked = 2;
constexpr std::uint32_t kAwake = 4;
constexpr const char* kReason = "sync.Mutex.Lock";

// True once the lock is ours, false if `me` was interrupted first.
bool acquire(detail::atomic<std::uint32_t>& word, Waiter& me) noexcept {
  std::uint32_t awake = 0;  // kAwake if it stands for us
  int spins = 0;
  std::uint32_t state = word.load(kRelaxed);  // relaxed: the CAS checks it
  for (;;) {
    if ((state & kLocked) == 0) {
      // [mutex.5] acquire, pairs with [mutex.2], [mutex.6], [mutex.7], [mutex.8]
      if (word.compare_exchange_weak(state, (state & ~awake) | kLocked, kAcquire, kRelaxed)) {
        return true;
      }
      continue;
    }
    if (spins < kSpinRounds && detail::worth_spinning()) {
      ++spins;
      for (int i = 0; i < kSpinPauses; ++i) {
        detail::spin_pause();
      }
      state = word.load(kRelaxed);  // relaxed: the CAS checks it
      continue;
    }
    Bucket& bucket = detail::bucket_of(&word);
    bucket.lock();
    // relaxed: the bucket's lock orders it with the unlocker's look at the queue
    if (!word.compare_exchange_strong(state, (state & ~awake) | kParked, kRelaxed, kRelaxed)) {
      bucket.unlock();
      continue;
    }
    awake = 0;
    if (me.since == 0) {
      me.since = detail::now();
      bucket.push_back(me);
    } else {
      bucket.push_front(me);  // it has waited before
    }
    me.token = 0;
    if (bucket.sleep(me, kReason) != Wake::kWoken) {
      return false;
    }
    if (me.token == kHandedOver) {
      return true;
    }
    awake = kAwake;
    spins = 0;
    state = word.load(kRelaxed);  // relaxed: the CAS checks it
  }
}

}  // namespace

void Mutex::lock_slow() noexcept {
  Waiter me(&state_);
  acquire(state_, me);
}

bool Mutex::lock_deadline(std::int64_t deadline) {
  if (deadline != detail::kForever && deadline <= detail::now()) {
    return false;
  }
  Waiter me(&state_);
  Interrupt const interrupt(me, deadline);
  bool const locked = acquire(state_, me);
  if (locked) {
    detail::tsan_acquire(this);
  }
  return locked;
}

bool Mutex::lock_stoppable(std::stop_token token) {
  Waiter me(&state_);
  Interrupt const interrupt(me, std::move(token));
  bool const locked = acquire(state_, me);
  if (locked) {
    detail::tsan_acquire(this);
  }
  return locked;
}

void Mutex::unlock_slow() noexcept {
  std::uint32_t state = state_.load(kRelaxed);  // relaxed: the CAS checks it
  for (;;) {
    if ((state & kLocked) == 0) {
      detail::fatal("sync: unlock of unlocked mutex");
    }
    if ((state & kParked) != 0 && (state & kAwake) == 0) {
      break;
    }
    // [mutex.6] release, pairs with [mutex.5] and [mutex.1]
    if (state_.compare_exchange_weak(state, state & ~kLocked, kRelease, kRelaxed)) {
      return;
    }
  }
  // Somebody sleeps and nobody is awake. From here on only we change kLocked, and kParked changes under the
  // bucket's lock; kAwake is set by unlockers only.
  Bucket& bucket = detail::bucket_of(&state_);
  bucket.lock();
  Waiter* waiter = bucket.pop(&state_);
  std::uint32_t const parked = bucket.first(&state_) != nullptr ? kParked : 0;
  if (waiter == nullptr) {
    state_.store(0, kRelease);  // [mutex.7] release, pairs with [mutex.5] and [mutex.1]
    bucket.unlock();
    return;
  }
  bool const hand_over = detail::now() - waiter->since >= kFairAfter;
  if (hand_over) {
    waiter->token = kHandedOver;
    state_.store(kLocked | parked, kRelaxed);  // relaxed: the wake orders us with the new holder
  } else {
    state_.store(kAwake | parked, kRelease);  // [mutex.8] release, pairs with [mutex.5] and [mutex.1]
  }
  bucket.unlock();
  detail::wake(*waiter);
  if (hand_over && detail::current_goroutine() != nullptr) {
    detail::yield_goroutine();  // it is the next one here: it runs while the lock is hot
  }
}

}  // namespace hamgam::inline HAMGAM_ABI
