// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include <cstddef>

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// Data that different threads write stands this far apart. 64 is the line of x86-64 and of most
// AArch64; the prefetcher of x86-64 pulls pairs of lines, hence 128 where memory is no concern.
inline constexpr std::size_t kCacheLine = 64;
inline constexpr std::size_t kNoSharing = 128;

}  // namespace hamgam::inline HAMGAM_ABI::detail
