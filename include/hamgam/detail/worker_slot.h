// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Data that belongs to one worker: what it alone writes needs no atomic read-modify-write.
// Goroutines of one worker do not interrupt each other between two instructions; what is begun with
// a slot must be done with it before anything that can park.

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

inline constexpr unsigned kWorkerSlots = 64;

// The calling worker's slot, from 1 to kWorkerSlots - 1, which no other thread ever has; 0 on a
// plain thread and on workers beyond that number. Never keep it over a park: a goroutine may resume
// on another worker, and a compiler that knew it as a thread_local would cache its address.
#if defined(__x86_64__)
HAMGAM_INLINE unsigned worker_slot() noexcept {
  unsigned long slot;  // NOLINT(google-runtime-int): as wide as a register
  asm volatile(
      "movq hamgam_worker_slot@gottpoff(%%rip), %0\n\t"
      "movq %%fs:(%0), %0"
      : "=r"(slot));
  return static_cast<unsigned>(slot);
}
#else
HAMGAM_API unsigned worker_slot() noexcept;
#endif

}  // namespace hamgam::inline HAMGAM_ABI::detail
