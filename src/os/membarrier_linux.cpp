// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "hamgam/detail/atomic.h"
#include "os/membarrier.h"
#include "os/thread.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {
// From linux/membarrier.h, some of which older headers lack.
[[maybe_unused]] constexpr int kQuery = 0;
[[maybe_unused]] constexpr int kPrivateExpedited = 1 << 3;
[[maybe_unused]] constexpr int kRegisterPrivateExpedited = 1 << 4;
[[maybe_unused]] constexpr int kPrivateExpeditedRseq = 1 << 7;
[[maybe_unused]] constexpr int kRegisterPrivateExpeditedRseq = 1 << 8;

[[maybe_unused]] bool registered(int command, int registration) noexcept {
  int const saved = errno;
  long const offered = syscall(SYS_membarrier, kQuery, 0, 0);
  bool const works =
      offered > 0 && (offered & command) != 0 && syscall(SYS_membarrier, registration, 0, 0) == 0;
  errno = saved;
  return works;
}
}  // namespace

bool rseq_barrier_available() noexcept {
#if defined(HAMGAM_TSAN) || defined(HAMGAM_ASAN)
  return false;  // the sanitizers see neither the sequence nor the barrier
#else
  static const bool kAvailable = registered(kPrivateExpeditedRseq, kRegisterPrivateExpeditedRseq);
  return kAvailable;
#endif
}

bool rseq_barrier() noexcept {
  int const saved = errno;
  bool const passed = syscall(SYS_membarrier, kPrivateExpeditedRseq, 0, 0) == 0;
  errno = saved;
  return passed;
}

bool heavy_barrier_available() noexcept {
#if defined(HAMGAM_TSAN)
  return true;
#else
  static const bool kAvailable = registered(kPrivateExpedited, kRegisterPrivateExpedited);
  return kAvailable;
#endif
}

bool heavy_barrier() noexcept {
#if defined(HAMGAM_TSAN)
  full_fence();  // [heavy.1] seq_cst, pairs with [slots.9]: there the light side is a full fence
                 // too
  return true;
#else
  int const saved = errno;
  bool const passed = syscall(SYS_membarrier, kPrivateExpedited, 0, 0) == 0;
  errno = saved;
  return passed;
#endif
}

bool heavy_barrier_or_nap() noexcept {
  bool const passed = heavy_barrier();
  for (int i = 0; !passed && i < 20; ++i) {
    nap_thread();
  }
  return passed;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
