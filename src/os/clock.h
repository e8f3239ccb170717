// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include <cstdint>

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// Nanoseconds of the monotonic clock that every deadline is measured on.
using Nanos = std::int64_t;
inline constexpr Nanos kForever = INT64_MAX;
inline constexpr Nanos kMillisecond = 1'000'000;

Nanos now() noexcept;

// A clock that takes less than half of the time of now(), where the machine has one that counts
// evenly and is the same on all processors; else nanoseconds. In a unit of its own.
std::uint64_t ticks() noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
