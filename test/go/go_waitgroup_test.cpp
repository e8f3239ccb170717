// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "hamgam/hamgam.h"
#include "support/crew.h"
#include "support/scale.h"

// What Go's tests of sync.WaitGroup check. (WG2 and WG4 are in waitgroup_test, WG6 among the
// misuse.)

namespace hamgam {
namespace {

using test::Crew;
using test::Who;

class GoWaitGroupTest : public testing::TestWithParam<Who> {};

INSTANTIATE_TEST_SUITE_P(, GoWaitGroupTest, test::everybody(), test::name_of);

// 16 pass two groups, one after the other, and report in between; the groups are used again.
TEST_P(GoWaitGroupTest, WG1_two_groups) {
  constexpr int kParties = 16;
  WaitGroup first;
  WaitGroup second;
  for (int round = 0; round < 8; ++round) {
    std::atomic<int> passed{0};
    first.add(kParties);
    second.add(kParties);
    Crew crew(GetParam());
    for (int i = 0; i < kParties; ++i) {
      crew.start([&] {
        first.done();
        second.wait();
        ++passed;
      });
    }
    first.wait();
    for (int i = 0; i < kParties; ++i) {
      EXPECT_EQ(passed.load(), 0);
      second.done();
    }
    crew.join();
    EXPECT_EQ(passed.load(), kParties);
  }
}

TEST_P(GoWaitGroupTest, WG3_no_early_wake) {
  int const rounds = test::scaled(1000);
  for (int round = 0; round < rounds; ++round) {
    WaitGroup group;
    std::atomic<int> count{0};
    Crew crew(GetParam());
    group.add(1);
    group.add(1);
    for (int i = 0; i < 2; ++i) {
      crew.start([&] {
        ++count;
        group.done();
      });
    }
    group.wait();
    EXPECT_EQ(count.load(), 2);
    crew.join();
  }
}

// Go's TestWaitGroupAlign, and that wait sees what f wrote.
TEST_P(GoWaitGroupTest, WG5_go_and_wait) {
  int const rounds = test::scaled(1000);
  Crew crew(GetParam());
  for (int i = 0; i < 2; ++i) {
    crew.start([&] {
      for (int round = 0; round < rounds; ++round) {
        int written = 0;
        WaitGroup group;
        group.go([&] { written = round + 1; });
        group.wait();
        EXPECT_EQ(written, round + 1);
      }
    });
  }
}

}  // namespace
}  // namespace hamgam
