// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Goroutines that wait, yield or end while their thread has a std::mutex: observe::watch_mutexes.
// They go on on another thread, as a rule, and that would unlock it; or others run on theirs, and
// wait for it there.
//
// Who switches away looks whether its thread has any (base/held_mutexes.h), which belong to it: the
// one before it has had the same question. That may be under locks of the library's, so what is
// known is only noted there, and a thread writes it.

#include <cstdint>

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

struct Goroutine;

// False: the component is not there.
[[nodiscard]] bool watch_held_mutexes() noexcept;

// By the running goroutine, which is about to leave its thread, and before anybody can know that it
// ends; `why`: as for the trace.
HAMGAM_COLD void look_for_held_mutexes(const Goroutine& g, const char* why) noexcept;

// Also of those that were not told of. Waits until what is to be told is written.
std::uint64_t count_mutex_reports() noexcept;

// In the child of a fork, where no goroutine runs: what waits is the parent's to tell of.
void forget_held_mutexes() noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
