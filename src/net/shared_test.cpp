// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "net/shared.h"

#include <gtest/gtest.h>

#include <optional>
#include <utility>

namespace hamgam {
namespace {

using net::Shared;

struct Counted {
  explicit Counted(int& alive) : alive_(alive) { ++alive_; }
  ~Counted() { --alive_; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  int& alive_;
  int value = 0;
};

TEST(Shared, the_last_one_destroys) {
  int alive = 0;
  std::optional<Shared<Counted>> first(std::in_place, std::in_place, alive);
  {
    Shared<Counted> const second(*first);  // NOLINT(performance-unnecessary-copy-initialization)
    (*first)->value = 7;
    first.reset();
    EXPECT_EQ(second->value, 7);
    EXPECT_EQ((*second).value, 7);
    EXPECT_EQ(alive, 1);
  }
  EXPECT_EQ(alive, 0);
}

// A copy of one that had been moved from was a null access.
TEST(Shared, a_copy_of_one_that_was_moved_from) {
  int alive = 0;
  {
    Shared<Counted> first(std::in_place, alive);
    Shared<Counted> const second(std::move(first));
    Shared<Counted> const third(first);  // NOLINT: that is what is tested
    third->value = 7;
    EXPECT_EQ(second->value, 7);
    EXPECT_EQ(alive, 1);
  }
  EXPECT_EQ(alive, 0);
}

}  // namespace
}  // namespace hamgam
