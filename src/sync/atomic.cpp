// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/atomic.h"

#include "os/spin_lock.h"
#include "wait/parking_lot.h"

// Why no wake-up is lost: under the bucket's lock the waiter looks whether the value is still the
// one, byte by byte, that it found to be `old`, and queues itself; notify takes the same lock after
// the change. (A count of sleepers that would spare notify the lock was left out: the lock costs
// one read-modify-write, the count would cost a fence.)
//
// A notify may come late: whoever waited saw the value and went, and something else lives at the
// address by now. So the keys are apart from everybody else's, who take a wake for a grant (units
// of a Semaphore, say); who waits for an Atomic looks at the value again.

namespace hamgam::inline HAMGAM_ABI::detail {

void brief_wait(int round) noexcept { wait_for_holder(round); }

void atomic_wait(const void* address, bool (*unchanged)(const void* address, const void* found),
                 const void* found) {
  const void* const key = apart(address);
  Waiter me(key);
  Bucket& bucket = bucket_of(key);
  bucket.lock();
  if (!unchanged(address, found)) {
    bucket.unlock();
    return;
  }
  bucket.push_back(me);
  (void)bucket.sleep(me, "sync/atomic wait");
}

void atomic_notify(const void* address, bool all) noexcept {
  const void* const key = apart(address);
  Bucket& bucket = bucket_of(key);
  bucket.lock();
  Waiter* first = all ? bucket.pop_all(key) : bucket.pop(key);
  bucket.unlock();
  if (all) {
    wake_all(first);
  } else if (first != nullptr) {
    wake(*first);
  }
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
