// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "wait/waiter.h"

#include "wait/parking_lot.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

// Locks the bucket that the waiter is in, which may change until it is locked.
Bucket& lock_bucket_of(const Waiter& waiter) noexcept {
  for (;;) {
    const void* address = waiter.address.load(kRelaxed);  // relaxed: checked under the lock
    Bucket& bucket = bucket_of(address);
    bucket.lock();
    if (waiter.address.load(kRelaxed) == address) {  // relaxed: under the lock
      return bucket;
    }
    bucket.unlock();
  }
}

// Takes the waiter off its queue, if it is in one, and keeps it from entering another. True if it
// was and slept.
bool leave_bucket(Sleeper& sleeper, Wake how) noexcept {
  auto& waiter = static_cast<Waiter&>(sleeper);
  Bucket& bucket = lock_bucket_of(waiter);
  bool const queued = waiter.queued;
  bool const asleep = queued && !waiter.awake;
  if (waiter.interrupted == Wake::kNone) {
    waiter.interrupted = how;
  }
  if (queued) {
    bucket.remove(waiter);
    waiter.outcome = how;
  }
  bucket.unlock();
  return asleep;
}

}  // namespace

Waiter::Waiter(const void* on) noexcept : Sleeper(&leave_bucket), address(on) {}

}  // namespace hamgam::inline HAMGAM_ABI::detail
