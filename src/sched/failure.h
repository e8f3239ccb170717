// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Where an exception was thrown that was caught in one goroutine and is reported in another.

#include <cstddef>
#include <cstdint>

#include "hamgam/detail/failure.h"

namespace hamgam::inline HAMGAM_ABI::detail {

struct ThrowTrace {
  static constexpr std::size_t kMaxFrames = 48;

  const void* exception = nullptr;  // the object that was thrown
  std::uint64_t goroutine = 0;
  std::size_t count = 0;
  const void* frames[kMaxFrames] = {};  // return addresses, innermost first
};

// That of the exception which is being thrown again just now, if it came out of rethrow(); else
// null.
std::shared_ptr<const ThrowTrace> trace_of_rethrown() noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
