// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// What the library and its component hamgam_mutexes have to say to each other. That is a shared
// library of its own, linked or preloaded, whose functions stand before the C library's: it knows
// which of pthreads' locks a thread has. It is found by the names of its two functions.

#include <cstddef>

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// A lock that a thread has, and where it took it.
struct HeldMutex {
  static constexpr std::size_t kFrames = 8;
  const void* mutex;
  const void* frames[kFrames];  // return addresses, innermost first; null behind them
};

// Fills `frames` with the return addresses of the caller of the function whose frame that is, and
// so on, as far as they are known, and returns how many there are.
using CaptureFrames = std::size_t (*)(const void* frame, const void** frames,
                                      std::size_t most) noexcept;

// Notes from now on what is locked, and where.
using NoteMutexes = void (*)(CaptureFrames capture) noexcept;
inline constexpr char kNoteMutexes[] = "hamgam_note_mutexes";

// Those that the calling thread has, the first locked first; and it is not asked about these again.
// Returns how many there are, and writes `most` of them at most.
using TakeHeldMutexes = std::size_t (*)(HeldMutex* to, std::size_t most) noexcept;
inline constexpr char kTakeHeldMutexes[] = "hamgam_take_held_mutexes";

}  // namespace hamgam::inline HAMGAM_ABI::detail
