// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#define HAMGAM_KEEP_ERRNO
#include "hamgam/detail/errno.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// The empty assembly is to compilers that see this function, too, a reason to call it again.
HAMGAM_NOINLINE int* errno_location() noexcept {
  asm volatile("" ::: "memory");
  return &errno;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
