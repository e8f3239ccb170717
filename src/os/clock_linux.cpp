// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <ctime>

#include "os/clock.h"

namespace hamgam::inline HAMGAM_ABI::detail {

Nanos now() noexcept {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<Nanos>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
