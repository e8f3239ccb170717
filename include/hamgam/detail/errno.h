// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// errno belongs to the goroutine: each switch carries it along. But the C library declares the
// function that tells where the thread keeps it as one whose answer never changes, so a compiler
// asks once and keeps the answer over a wait, after which it is another thread's. So errno is
// spelled here as a call of a function of which compilers know nothing. Standard headers that were
// included before (<string>'s std::stoi) keep the other spelling. HAMGAM_KEEP_ERRNO leaves errno
// alone: then read it, in a function that may wait, by a function of its own that is not inlined.

#include <cerrno>

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

HAMGAM_API int* errno_location() noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail

#if !defined(HAMGAM_KEEP_ERRNO)
#undef errno
#define errno (*::hamgam::detail::errno_location())
#endif
