// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// Goroutines have been stopped, and the thread of that number goes on with the exit: calls
// `stranded`, on a thread of its own, if that waits by means that are not ours, and nobody is left
// to wake it. Does nothing if the system refuses the thread, or does not tell.
using Stranded = void (*)() noexcept;
void watch_last_thread(int id, Stranded stranded) noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
