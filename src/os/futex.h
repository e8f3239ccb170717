// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include <climits>
#include <cstdint>

#include "hamgam/detail/atomic.h"
#include "os/clock.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// Sleeps while `word` holds `expected`, at most until `deadline` (kForever: no limit). May return
// early for no reason; callers loop. False: the deadline has passed.
bool futex_wait(const atomic<std::uint32_t>& word, std::uint32_t expected,
                Nanos deadline = kForever) noexcept;

// Wakes up to `count` sleepers. Only the address is used, so the word may be gone already: whoever
// sleeps on memory that was used again takes it for a spurious wake-up.
void futex_wake(const atomic<std::uint32_t>& word, int count = INT_MAX) noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
