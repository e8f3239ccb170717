// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include <cstdint>

#include "hamgam/detail/atomic.h"
#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// 1 while locks are watched (observe::watch_locks), else 0: it stands for the lowest bit of a
// lock's word, which says that somebody has it, and so keeps everybody from the inline way in.
HAMGAM_API extern constinit atomic<std::uint32_t> locks_watched;

HAMGAM_INLINE std::uint32_t watched_bit() noexcept {
  return locks_watched.load(kRelaxed);  // relaxed: sooner or later
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
