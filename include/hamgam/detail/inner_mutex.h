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
// It is never handed over: when goroutines are stopped at exit, none has it (src/sync/mutex.cpp).
class HAMGAM_CAPABILITY("mutex") InnerMutex {
 public:
  void lock() noexcept HAMGAM_ACQUIRE() {
    TsanNoEdges const unseen;
    if (!mutex_.try_lock_unwatched()) {
      mutex_.lock_inner();
    }
  }
  [[nodiscard]] bool try_lock() noexcept HAMGAM_TRY_ACQUIRE(true) {
    TsanNoEdges const unseen;
    return mutex_.try_lock_unwatched();
  }
  void unlock() noexcept HAMGAM_RELEASE() {
    TsanNoEdges const unseen;
    mutex_.unlock();
  }

 private:
  Mutex mutex_;
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
