// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
//
// Names as users look them up, with public headers only: so that ThreadSanitizer sees it as theirs.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <string>

#include "hamgam/hamgam.h"
#include "support/resolver.h"
#include "support/scale.h"
#include "support/until.h"

namespace hamgam {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace): literals
using net::Address;
using test::resolver;

// Those who gave up have joined the one lookup that there is, which goes on.
TEST(Lookups, many_ask_and_give_up) {
  resolver().reset();
  auto first = spawn([] { return net::resolve("host:80"); });
  test::until([] { return resolver().inside() == 1; });
  std::atomic<int> in_vain{0};
  WaitGroup group;
  for (int i = 0; i < 50; ++i) {
    group.go([&] { in_vain += net::resolve_for("host:80", 1ms) ? 0 : 1; });
  }
  group.wait();
  EXPECT_EQ(in_vain, 50);
  EXPECT_EQ(resolver().asked().size(), 1U);
  EXPECT_FALSE(first.done());
  resolver().let_go();
  EXPECT_EQ(first.get().size(), 1U);
}

TEST(Lookups, many_ask_the_same_and_others) {
  resolver().reset();
  resolver().let_go();
  std::atomic<int> answered{0};
  WaitGroup group;
  int const rounds = test::scaled(400);
  for (int i = 0; i < 12; ++i) {
    group.go([&, i] {
      for (int k = 0; k < rounds; ++k) {
        for (const Address& a : net::resolve("host" + std::to_string((k + i / 4) % 3) + ":80")) {
          answered += a.port() == 80 ? 1 : 0;
        }
      }
    });
  }
  group.wait();
  EXPECT_EQ(answered, 12 * rounds);
}

}  // namespace
}  // namespace hamgam
