// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include "hamgam/detail/atomic.h"
#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// The cheap half of an asymmetric fence: it only keeps the compiler from reordering, and the other
// side's heavy_barrier() makes up for it. ThreadSanitizer knows no such thing, there both are
// full fences.
HAMGAM_INLINE void light_barrier() noexcept {
#if defined(HAMGAM_TSAN)
  full_fence();  // [slots.9] seq_cst, pairs with [heavy.1]
#else
  asm volatile("" ::: "memory");
#endif
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
