// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include <cstdint>

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators"): small,
// fast and good enough to choose victims and priorities. Not thread-safe: one per owner.
class Random {
 public:
  explicit constexpr Random(std::uint64_t seed) noexcept
      : state_(seed * 0x9E3779B97F4A7C15u | 1u) {}

  constexpr std::uint64_t next() noexcept {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545F4914F6CDD1Du;
  }

  // Uniform in [0, bound), bound > 0 (Lemire's multiplication; the bias is below 2^-32).
  constexpr std::uint32_t below(std::uint32_t bound) noexcept {
    return static_cast<std::uint32_t>((next() >> 32) * bound >> 32);
  }

 private:
  std::uint64_t state_;
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
