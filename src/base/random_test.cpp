// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "base/random.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <set>
#include <vector>

namespace hamgam {
namespace {

using detail::Random;

TEST(Random, same_seed_same_numbers) {
  Random a(7);
  Random b(7);
  Random c(8);
  bool differs = false;
  for (int i = 0; i < 100; ++i) {
    std::uint64_t const value = a.next();
    ASSERT_EQ(value, b.next());
    differs = differs || value != c.next();
  }
  EXPECT_TRUE(differs);
}

// Zero is the state that xorshift never leaves.
TEST(Random, seed_zero_works) {
  Random random(0);
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 1000; ++i) {
    seen.insert(random.next());
  }
  EXPECT_EQ(seen.size(), 1000U);
}

TEST(Random, below_stays_below_and_is_uniform) {
  Random random(42);
  for (std::uint32_t bound : {1U, 2U, 3U, 10U, 61U}) {
    std::vector<int> counts(bound);
    int const draws = 10000 * static_cast<int>(bound);
    for (int i = 0; i < draws; ++i) {
      std::uint32_t const value = random.below(bound);
      ASSERT_LT(value, bound);
      ++counts[value];
    }
    for (int count : counts) {
      EXPECT_NEAR(count, 10000, 6 * std::sqrt(10000.0));  // six sigma, and the seed is fixed
    }
  }
  EXPECT_LT(random.below(UINT32_MAX), UINT32_MAX);
}

}  // namespace
}  // namespace hamgam
