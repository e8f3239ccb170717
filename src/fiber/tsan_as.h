// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include "fiber/fiber.h"

namespace hamgam::inline HAMGAM_ABI::detail {

#if HAMGAM_TSAN_USER

// While it lives, what the caller tells ThreadSanitizer is told of `fiber`, which is suspended and
// stays so. The caller neither switches meanwhile nor runs the user's code. (Not where the library
// is instrumented: functions would begin on the one fiber and end on the other.)
class TsanAs {
 public:
  explicit TsanAs(const Fiber& fiber) noexcept {
    __tsan_switch_to_fiber(fiber.tsan, __tsan_switch_to_fiber_no_sync);
  }
  ~TsanAs() { __tsan_switch_to_fiber(own_, __tsan_switch_to_fiber_no_sync); }
  TsanAs(const TsanAs&) = delete;
  TsanAs& operator=(const TsanAs&) = delete;

 private:
  void* const own_ = __tsan_get_current_fiber();
};

#endif

}  // namespace hamgam::inline HAMGAM_ABI::detail
