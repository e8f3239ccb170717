// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// LeakListener: each test of GoogleTest's that leaves goroutines behind fails, and says where they
// stand. Not in hamgam.h: it needs GoogleTest.
//
//   int main(int argc, char** argv) {
//     testing::InitGoogleTest(&argc, argv);
//     auto* leaks = new hamgam::observe::LeakListener;  // GoogleTest deletes it
//     leaks->allow("chan receive", "keep_log");         // this one may stay
//     testing::UnitTest::GetInstance()->listeners().Append(leaks);
//     return RUN_ALL_TESTS();
//   }
//
// It looks at what the thread or goroutine that calls RUN_ALL_TESTS() starts from a test's SetUp()
// to its TearDown(), and what these start, as LeakCheck does (observe.h); so not at what
// SetUpTestSuite() starts.

#include "hamgam/observe.h"

#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace hamgam::inline HAMGAM_ABI {
namespace observe {

class LeakListener : public testing::EmptyTestEventListener {
 public:
  // How long a test's goroutines are waited for, at most.
  explicit LeakListener(std::chrono::nanoseconds limit = std::chrono::seconds(1)) : limit_(limit) {}

  // In every test; as LeakCheck's.
  LeakListener& allow(std::string wait_reason, std::string function = {}) {
    allowed_.emplace_back(std::move(wait_reason), std::move(function));
    return *this;
  }

  void OnTestStart(const testing::TestInfo& /*test*/) override {
    check_.emplace();
    for (const auto& [wait_reason, function] : allowed_) {
      check_->allow(wait_reason, function);
    }
  }

  void OnTestEnd(const testing::TestInfo& test) override {
    std::string const leaked = check_->report(limit_);
    check_.reset();
    if (!leaked.empty()) {
      ADD_FAILURE_AT(test.file(), test.line()) << leaked;
    }
  }

 private:
  std::chrono::nanoseconds const limit_;
  std::vector<std::pair<std::string, std::string>> allowed_;
  std::optional<LeakCheck> check_;
};

}  // namespace observe
}  // namespace hamgam::inline HAMGAM_ABI
