// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include "hamgam/detail/annotations.h"
#include "hamgam/detail/atomic.h"
#include "hamgam/detail/config.h"
#include "hamgam/mutex.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// A Mutex that is part of something else: it promises users no order, so it gives ThreadSanitizer
// no edge. (What it protects must be out of that one's sight, or ordered otherwise.)
class HAMGAM_CAPABILITY("mutex") InnerMutex {
 public:
  void lock() noexcept HAMGAM_ACQUIRE() {
    TsanNoEdges const unseen;
    mutex_.lock();
  }
  [[nodiscard]] bool try_lock() noexcept HAMGAM_TRY_ACQUIRE(true) {
    TsanNoEdges const unseen;
    return mutex_.try_lock();
  }
  void unlock() noexcept HAMGAM_RELEASE() {
    TsanNoEdges const unseen;
    mutex_.unlock();
  }

 private:
  Mutex mutex_;
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
