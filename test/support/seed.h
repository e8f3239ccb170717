// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// The seed of a random test: a new one each time, printed, and given back by HAMGAM_TEST_SEED.

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>

namespace hamgam::test {

inline std::uint64_t seed() {
  const char* given = std::getenv("HAMGAM_TEST_SEED");
  std::uint64_t const value =
      given != nullptr ? std::strtoull(given, nullptr, 10) : std::uint64_t{std::random_device{}()};
  std::printf("HAMGAM_TEST_SEED=%llu\n", static_cast<unsigned long long>(value));
  std::fflush(stdout);
  return value;
}

}  // namespace hamgam::test
