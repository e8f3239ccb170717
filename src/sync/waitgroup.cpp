// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/waitgroup.h"

#include <mutex>

#include "base/fatal.h"
#include "wait/interruptible.h"
#include "wait/parking_lot.h"

// Why no wake-up is lost: a waiter sets kParked, by a CAS that sees the counter above 0, and queues
// itself under the bucket's lock; the add that makes the counter 0 comes after that CAS, sees
// kParked and looks at the queue under the same lock.

namespace hamgam::inline HAMGAM_ABI {

using namespace detail;

namespace {

constexpr std::int64_t kParkedBit = 1;
constexpr std::int64_t kMaxState = ~kParkedBit;
constexpr const char* kReason = "sync.WaitGroup.Wait";

bool await_zero(atomic<std::int64_t>& word, Waiter& me) {
  Bucket& bucket = bucket_of(&word);
  for (;;) {
    bucket.lock();
    std::int64_t state = word.load(kAcquire);  // [wg.4] acquire, pairs with [wg.1]
    // With the counter at 0 and kParked still set, the add that made it so is about to clear it:
    // sleeping is right, it will find us.
    if (state == 0) {
      bucket.unlock();
      return true;
    }
    // relaxed: the bucket's lock orders it with the add that looks for us
    if (!word.compare_exchange_strong(state, state | kParkedBit, kRelaxed, kRelaxed)) {
      bucket.unlock();
      continue;
    }
    bucket.push_back(me);
    if (bucket.sleep(me, kReason) != Wake::kWoken) {
      return false;
    }
    // [wg.5] acquire, pairs with [wg.1]
    if ((word.load(kAcquire) & kMaxState) != 0) {
      throw_panic("sync: WaitGroup is reused before previous Wait has returned");
    }
    return true;
  }
}

template <class Limit>
bool wait_within(WaitGroup& group, atomic<std::int64_t>& word, Limit limit) {
  return interruptible(&word, std::move(limit), [&](Waiter& me) {
    bool const zero = await_zero(word, me);
    if (zero) {
      tsan_acquire(&group);
    }
    return zero;
  });
}

// kParked may outlive the sleepers: one that gave up leaves it behind.
bool anybody_sleeps(const void* address) noexcept {
  Bucket& bucket = bucket_of(address);
  std::lock_guard const guard(bucket);
  return bucket.first(address) != nullptr;
}

}  // namespace

void WaitGroup::add_slow(int n, std::int64_t former) {
  std::int64_t state = plus(former, n);
  const char* misuse = nullptr;
  if (state < 0) {
    misuse = "sync: negative WaitGroup counter";
  } else if (former >> 32 == 0 && n > 0 && anybody_sleeps(&state_)) {
    misuse = "sync: WaitGroup misuse: Add called concurrently with Wait";
  }
  if (misuse != nullptr) {
    // relaxed: undoes what was never meant
    auto const undone = static_cast<std::uint64_t>(state_.fetch_sub(n * kOne, kRelaxed));
    state = static_cast<std::int64_t>(undone - static_cast<std::uint64_t>(n * kOne));
  }
  if (state == kParked) {
    wake_sleepers();
  }
  if (misuse != nullptr) {
    throw_panic(misuse);
  }
}

void WaitGroup::wake_sleepers() noexcept {
  Bucket& bucket = bucket_of(&state_);
  bucket.lock();
  Waiter* sleepers = nullptr;
  std::int64_t expected = kParked;
  // [wg.6] release, pairs with [wg.4]: lets a wait return that looks only now; the last touch. If
  // it fails, the group is in use again: whoever makes it 0 next wakes the sleepers.
  if (state_.compare_exchange_strong(expected, 0, kRelease, kRelaxed)) {
    sleepers = bucket.pop_all(&state_);
  }
  bucket.unlock();
  wake_all(sleepers);
}

void WaitGroup::wait_slow() {
  // The one that we wait for may well be the one that we have just started: let it run before we
  // queue ourselves for it to find.
  if (yield_to_only_other() && state_.load(kAcquire) == 0) {  // [wg.7] acquire, pairs with [wg.1]
    return;
  }
  Waiter me(&state_);
  await_zero(state_, me);
}

bool WaitGroup::wait_deadline(std::int64_t deadline) {
  return wait_within(*this, state_, deadline);
}

bool WaitGroup::wait_stoppable(std::stop_token token) {
  return wait_within(*this, state_, std::move(token));
}

}  // namespace hamgam::inline HAMGAM_ABI
