// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// What Semaphore tells ThreadSanitizer: the edges of its units, as those of a channel's buffer are.
//
// Of n units the first n that are acquired have not been released by anybody; after that the k-th
// to be acquired is the k-th that was released. So two that never needed each other's unit are not
// ordered, and their race is found. Units that were not to be released stay among the others, and
// who acquires looks past as many: he may be ordered too much then, but not too little. given()
// comes before the units are there to be acquired and taken() after they are, so that a unit which
// is taken has been given.

#include <cstdint>

#include "hamgam/detail/atomic.h"
#include "hamgam/detail/config.h"
#include "hamgam/detail/inner_mutex.h"

namespace hamgam::inline HAMGAM_ABI::detail {

#if HAMGAM_TSAN_USER

class UnitEdges {
 public:
  constexpr explicit UnitEdges(std::int64_t n) noexcept : fresh_(n) {}

  HAMGAM_API void given(std::int64_t n) noexcept;
  HAMGAM_API void not_given(std::int64_t n) noexcept;  // they were not to be released
  HAMGAM_API void taken(std::int64_t n) noexcept;

 private:
  static constexpr unsigned kPlaces = 64;

  InnerMutex mutex_;
  std::int64_t fresh_;       // not taken yet; this and the others under the mutex
  std::uint64_t given_ = 0;  // so many, and of these so many taken
  std::uint64_t taken_ = 0;
  std::uint64_t not_given_ = 0;
  char places_[kPlaces] = {};  // each stands for the units whose number has that remainder
};

#else

class UnitEdges {
 public:
  constexpr explicit UnitEdges(std::int64_t /*n*/) noexcept {}

  void given(std::int64_t /*n*/) noexcept { tsan_release(this); }
  void not_given(std::int64_t /*n*/) noexcept {}
  void taken(std::int64_t /*n*/) noexcept { tsan_acquire(this); }
};

#endif

}  // namespace hamgam::inline HAMGAM_ABI::detail
