// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "os/futex.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

namespace hamgam::inline HAMGAM_ABI::detail {

bool futex_wait(const atomic<std::uint32_t>& word, std::uint32_t expected,
                Nanos deadline) noexcept {
  timespec limit{};
  if (deadline != kForever) {
    limit.tv_sec = deadline / 1'000'000'000;
    limit.tv_nsec = deadline % 1'000'000'000;
  }
  int const saved = errno;
  long const result =
      syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, expected,
              deadline == kForever ? nullptr : &limit, nullptr, FUTEX_BITSET_MATCH_ANY);
  bool const timed_out = result != 0 && errno == ETIMEDOUT;
  errno = saved;
  return !timed_out;
}

void futex_wake(const atomic<std::uint32_t>& word, int count) noexcept {
  int const saved = errno;
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, count);
  errno = saved;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
