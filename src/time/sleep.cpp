// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/time.h"
#include "wait/parking_lot.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

// Nobody wakes it: the address is its own.
bool sleep_alone(Waiter& me) noexcept {
  Bucket& bucket = bucket_of(&me);
  bucket.lock();
  bucket.push_back(me);
  return bucket.sleep(me, "sleep") == Wake::kTimedOut;
}

class Alone : public Waiter {
 public:
  Alone() noexcept : Waiter(this) {}
};

}  // namespace

void sleep_until_nanos(std::int64_t deadline) {
  if (deadline <= now()) {
    return;
  }
  Alone me;
  Interrupt const alarm(me, deadline);
  (void)sleep_alone(me);
}

bool sleep_until_nanos(std::int64_t deadline, std::stop_token token) {
  if (deadline <= now()) {
    return true;
  }
  Alone me;
  Interrupt const alarm(me, deadline);
  Interrupt const stop(me, std::move(token));
  return sleep_alone(me);
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
