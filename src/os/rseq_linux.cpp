// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/detail/rseq.h"

#include "os/membarrier.h"

#if defined(__x86_64__) && !defined(HAMGAM_TSAN) && !defined(HAMGAM_ASAN)  // as in rseq.h

// glibc registers an area for each thread since 2.35 and tells where; older ones lack the symbols.
extern "C" {
extern const std::ptrdiff_t __rseq_offset __attribute__((weak));  // NOLINT
extern const unsigned int __rseq_size __attribute__((weak));      // NOLINT
}

namespace hamgam::inline HAMGAM_ABI::detail {

// Set before main. A Mutex used earlier, by another file's initialisers, sees 0 and unlocks the
// plain way, which is always right.
std::ptrdiff_t rseq_offset =
    &__rseq_size != nullptr && __rseq_size != 0 && rseq_barrier_available() ? __rseq_offset : 0;

}  // namespace hamgam::inline HAMGAM_ABI::detail

#endif
