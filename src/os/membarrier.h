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

// True if heavy_barrier() works. Asked once; the first call is best made while there is one thread,
// with more of them it may take milliseconds.
bool heavy_barrier_available() noexcept;

// When it returns, every thread of the process has passed a full fence after the call began. Half a
// microsecond if no other thread runs, else some more. So the others need no fence of their own,
// only the compiler must keep to the order. False: the kernel refused, and nothing is sure.
[[nodiscard]] bool heavy_barrier() noexcept;

// The same, but where the kernel refuses, as it does once a filter says so, it takes a millisecond:
// no processor keeps a store to itself for so long. False then.
bool heavy_barrier_or_nap() noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
