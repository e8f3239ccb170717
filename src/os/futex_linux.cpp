// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "os/futex.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

namespace hamgam::inline HAMGAM_ABI::detail {

#if defined(HAMGAM_TSAN)
namespace {

// ThreadSanitizer keeps a signal back until its thread calls a function that it knows, which a
// system call of ours is not. One that comes during the call ends it, as no call with a time limit
// is begun again; one that came just before waits for this limit.
constexpr Nanos kSignalsWait = 50 * kMillisecond;

}  // namespace
#endif

bool futex_wait(const atomic<std::uint32_t>& word, std::uint32_t expected,
                Nanos deadline) noexcept {
#if defined(HAMGAM_TSAN)
  Nanos const wanted = deadline;
  deadline = std::min(deadline, now() + kSignalsWait);
#endif
  timespec limit{};
  if (deadline != kForever) {
    limit.tv_sec = deadline / 1'000'000'000;
    limit.tv_nsec = deadline % 1'000'000'000;
  }
  int const saved = errno;
  long const result =
      syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, expected,
              deadline == kForever ? nullptr : &limit, nullptr, FUTEX_BITSET_MATCH_ANY);
  bool timed_out = result != 0 && errno == ETIMEDOUT;
#if defined(HAMGAM_TSAN)
  if (timed_out || (result != 0 && errno == EINTR)) {
    usleep(0);
  }
  timed_out = timed_out && deadline == wanted;
#endif
  errno = saved;
  return !timed_out;
}

void futex_wake(const atomic<std::uint32_t>& word, int count) noexcept {
  int const saved = errno;
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, count);
  errno = saved;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
