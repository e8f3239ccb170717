// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// The checker itself: it accepts what a register may do and refuses what it may not.
#include "stress/linearizability.h"

#include <gtest/gtest.h>

namespace {

using hamgam::test::Call;
using hamgam::test::linearizable;

struct Op {
  bool write;
  int value;
};

struct Register {
  int value = 0;
  auto operator<=>(const Register&) const = default;
  bool step(const Op& op) {
    if (op.write) {
      value = op.value;
    }
    return value == op.value;
  }
};

constexpr Op write(int value) { return {true, value}; }
constexpr Op read(int value) { return {false, value}; }

bool explained(std::vector<Call<Op>> calls) { return linearizable(std::move(calls), Register{}); }

TEST(Linearizability, accepts_calls_in_order) {
  EXPECT_TRUE(explained({{write(1), 1, 2}, {read(1), 3, 4}}));
}

TEST(Linearizability, refuses_a_stale_read) {
  EXPECT_FALSE(explained({{write(1), 1, 2}, {read(0), 3, 4}}));
}

TEST(Linearizability, accepts_either_value_during_a_write) {
  EXPECT_TRUE(explained({{write(1), 1, 4}, {read(0), 2, 3}}));
  EXPECT_TRUE(explained({{write(1), 1, 4}, {read(1), 2, 3}}));
}

TEST(Linearizability, refuses_to_go_back) {
  // Two reads during one write, one after the other: new, then old.
  EXPECT_FALSE(explained({{write(1), 1, 6}, {read(1), 2, 3}, {read(0), 4, 5}}));
}

TEST(Linearizability, many_overlapping_calls_are_decided_soon) {
  std::vector<Call<Op>> calls;
  for (std::uint64_t i = 0; i < 12; ++i) {
    calls.push_back({write(static_cast<int>(i % 3)), i + 1, 100});
  }
  calls.push_back({read(7), 101, 102});
  EXPECT_FALSE(explained(std::move(calls)));
}

}  // namespace
