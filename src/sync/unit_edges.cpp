// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/detail/unit_edges.h"

#include <algorithm>
#include <mutex>

#if HAMGAM_TSAN_USER

namespace hamgam::inline HAMGAM_ABI::detail {

void UnitEdges::given(std::int64_t n) noexcept {
  if (n <= 0) {
    return;
  }
  std::lock_guard const lock(mutex_);
  for (std::int64_t i = 0; i < std::min<std::int64_t>(n, kPlaces); ++i) {
    char& place = places_[(given_ + static_cast<std::uint64_t>(i)) % kPlaces];
    if (given_ + static_cast<std::uint64_t>(n) - taken_ <= kPlaces) {  // no other unit's
      tsan_forget(&place);
    }
    tsan_release(&place);
  }
  given_ += static_cast<std::uint64_t>(n);
}

void UnitEdges::not_given(std::int64_t n) noexcept {
  if (n > 0) {
    std::lock_guard const lock(mutex_);
    not_given_ = std::min<std::uint64_t>(not_given_ + static_cast<std::uint64_t>(n), kPlaces);
  }
}

void UnitEdges::taken(std::int64_t n) noexcept {
  std::lock_guard const lock(mutex_);
  std::int64_t const fresh = std::min(n, fresh_);
  fresh_ -= fresh;
  auto const used = static_cast<std::uint64_t>(n - fresh);
  std::uint64_t const seen = used != 0 ? std::min<std::uint64_t>(used + not_given_, kPlaces) : 0;
  for (std::uint64_t i = 0; i < seen; ++i) {
    tsan_acquire(&places_[(taken_ + i) % kPlaces]);
  }
  taken_ += used;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail

#endif
