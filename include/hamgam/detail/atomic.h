// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// The one door through which Hamgam's own code takes its atomics (a build for schedule exploration
// replaces this file). Every access names its order with one of the constants below; each access
// that is not relaxed carries a tag that names its partner, each relaxed one its reason;
// tools/check_orders enforces both.

#include <atomic>
#include <cstdint>

#include "hamgam/detail/config.h"

#if defined(HAMGAM_TSAN)
#include <sanitizer/tsan_interface.h>
extern "C" {
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}
#endif

namespace hamgam::inline HAMGAM_ABI::detail {

template <class T>
using atomic = std::atomic<T>;

inline constexpr auto kRelaxed = std::memory_order::relaxed;
inline constexpr auto kAcquire = std::memory_order::acquire;
inline constexpr auto kRelease = std::memory_order::release;
inline constexpr auto kAcqRel = std::memory_order::acq_rel;
inline constexpr auto kSeqCst = std::memory_order::seq_cst;

// A full fence. Written as a read-modify-write because that is the cheaper spelling on x86-64 and
// the only one that ThreadSanitizer understands.
HAMGAM_INLINE void full_fence() noexcept {
#if defined(__x86_64__) && !defined(HAMGAM_TSAN)
  asm volatile("lock orl $0, -4(%%rsp)" ::: "memory", "cc");
#elif defined(HAMGAM_TSAN)
  static atomic<std::uint32_t> word{0};
  word.fetch_add(1, std::memory_order::seq_cst);
#else
  std::atomic_thread_fence(std::memory_order::seq_cst);
#endif
}

// Tells the processor that this is a spin loop.
HAMGAM_INLINE void spin_pause() noexcept {
#if defined(__x86_64__)
  asm volatile("pause" ::: "memory");
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#else
  asm volatile("" ::: "memory");
#endif
}

// The documented happens-before edges, told to ThreadSanitizer in the builds that have it: the
// library's own atomics are not instrumented there, so these are the only edges it knows.
HAMGAM_INLINE void tsan_release([[maybe_unused]] const volatile void* address) noexcept {
#if defined(HAMGAM_TSAN)
  __tsan_release(const_cast<void*>(address));
#endif
}

HAMGAM_INLINE void tsan_acquire([[maybe_unused]] const volatile void* address) noexcept {
#if defined(HAMGAM_TSAN)
  __tsan_acquire(const_cast<void*>(address));
#endif
}

// While it lives, ThreadSanitizer overlooks what this thread does to memory: for the library's own
// use of malloc, free and memmove on data that only its own locks protect, which ThreadSanitizer
// does not see.
class TsanIgnore {
 public:
  TsanIgnore() noexcept {  // NOLINT(modernize-use-equals-default)
#if defined(HAMGAM_TSAN)
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
#endif
  }
  ~TsanIgnore() {  // NOLINT(modernize-use-equals-default)
#if defined(HAMGAM_TSAN)
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
#endif
  }
  TsanIgnore(const TsanIgnore&) = delete;
  TsanIgnore& operator=(const TsanIgnore&) = delete;
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
