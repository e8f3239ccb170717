// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// True if the kernel can restart the restartable sequences of all threads of this process, and the
// C library has registered them: what the Mutex's plain-store unlock needs. Asked once.
bool rseq_barrier_available() noexcept;

// When it returns, every thread of the process has passed a full fence after the call began, and
// none is still inside a restartable sequence that it had entered before. A few microseconds.
// False: the kernel refused, and nothing is sure.
[[nodiscard]] bool rseq_barrier() noexcept;

// The dear side of an asymmetric pair of fences: when heavy_fence() has returned true, every thread
// of the process has passed a full fence after the call began. So a thread whose own side is only
// light_fence() (hamgam/detail/atomic.h) has either made visible what it stored before, or will see
// what was stored before heavy_fence(). Half a microsecond to ten. Available: asked once, cheap as
// long as the process has one thread.
bool heavy_fence_available() noexcept;
[[nodiscard]] bool heavy_fence() noexcept;

// For tests: as if the kernel had none. Only what is built afterwards notices.
void forbid_heavy_fence(bool forbidden) noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
