// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "os/membarrier.h"

#include "hamgam/detail/atomic.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {
// From linux/membarrier.h, some of which older headers lack.
[[maybe_unused]] constexpr int kQuery = 0;
[[maybe_unused]] constexpr int kPrivateExpedited = 1 << 3;
[[maybe_unused]] constexpr int kRegisterPrivateExpedited = 1 << 4;
[[maybe_unused]] constexpr int kPrivateExpeditedRseq = 1 << 7;
[[maybe_unused]] constexpr int kRegisterPrivateExpeditedRseq = 1 << 8;

constinit atomic<bool> g_forbidden{false};
}  // namespace

bool rseq_barrier_available() noexcept {
#if defined(HAMGAM_TSAN) || defined(HAMGAM_ASAN)
  return false;  // the sanitizers see neither the sequence nor the barrier
#else
  static const bool kAvailable = [] {
    int const saved = errno;
    long const offered = syscall(SYS_membarrier, kQuery, 0, 0);
    bool const works = offered > 0 && (offered & kPrivateExpeditedRseq) != 0 &&
                       syscall(SYS_membarrier, kRegisterPrivateExpeditedRseq, 0, 0) == 0;
    errno = saved;
    return works;
  }();
  return kAvailable;
#endif
}

bool rseq_barrier() noexcept {
  int const saved = errno;
  bool const passed = syscall(SYS_membarrier, kPrivateExpeditedRseq, 0, 0) == 0;
  errno = saved;
  return passed;
}

bool heavy_fence_available() noexcept {
#if defined(HAMGAM_TSAN)
  static const bool kAvailable = true;  // both sides are full fences there
#else
  static const bool kAvailable = [] {
    int const saved = errno;
    long const offered = syscall(SYS_membarrier, kQuery, 0, 0);
    bool const works = offered > 0 && (offered & kPrivateExpedited) != 0 &&
                       syscall(SYS_membarrier, kRegisterPrivateExpedited, 0, 0) == 0;
    errno = saved;
    return works;
  }();
#endif
  return kAvailable && !g_forbidden.load(kRelaxed);  // relaxed: set while nothing runs
}

bool heavy_fence() noexcept {
#if defined(HAMGAM_TSAN)
  full_fence();  // [membarrier.1] seq_cst, pairs with itself: light_fence() is one too
  return true;
#else
  int const saved = errno;
  bool const passed = syscall(SYS_membarrier, kPrivateExpedited, 0, 0) == 0;
  errno = saved;
  return passed;
#endif
}

void forbid_heavy_fence(bool forbidden) noexcept {
  g_forbidden.store(forbidden, kRelaxed);  // relaxed: set while nothing runs
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
