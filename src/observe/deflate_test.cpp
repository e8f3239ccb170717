// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "observe/deflate.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <random>
#include <string>

#include "support/seed.h"
#include "support/wire.h"

namespace hamgam::detail {
namespace {

using test::internal::inflated;

TEST(Deflate, smoke) {
  for (const char* text : {"", "a", "abc", "aaaaaaaaaaaaaaaaaaaa", "\xff\x90 and \x8f\x80"}) {
    EXPECT_EQ(inflated(deflated(text)), text);
  }
  EXPECT_LT(deflated(std::string(10'000, 'x')).size(), 100U);
}

TEST(Deflate, matches_of_every_length_at_every_kind_of_distance) {
  std::mt19937_64 random(test::seed());
  auto const noise = [&random](std::size_t size) {
    std::string text;
    while (text.size() < size) {
      text += static_cast<char>(random());
    }
    return text;
  };
  for (std::size_t distance = 300; distance <= 70'000; distance = distance * 5 / 4) {
    std::string const head = noise(distance);
    std::string text = head;
    for (std::size_t length = 1; length < 300; length += 1 + random() % 20) {
      std::size_t const from = text.size() - distance;
      text += text.substr(from, length) + noise(1);
    }
    std::string const packed = deflated(text);
    EXPECT_EQ(inflated(packed), text) << distance;
    if (distance < 30'000) {
      EXPECT_LT(packed.size(), distance * 17 / 16 + text.size() / 4) << distance;
    }
  }
}

// As they stand, and short ones that repeat in many ways.
TEST(Deflate, random_texts) {
  std::mt19937_64 random(test::seed());
  for (int i = 0; i < 300; ++i) {
    std::string text;
    std::size_t const size = random() % 5000;
    auto const letters = 1 + random() % 256;
    while (text.size() < size) {
      text += static_cast<char>(random() % letters);
    }
    EXPECT_EQ(inflated(deflated(text)), text);
  }
}

}  // namespace
}  // namespace hamgam::detail
