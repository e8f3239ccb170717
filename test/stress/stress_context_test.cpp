// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Contexts under many hands.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <exception>
#include <memory>
#include <random>
#include <stdexcept>
#include <utility>
#include <vector>

#include "hamgam/context.h"
#include "hamgam/go.h"
#include "hamgam/waitgroup.h"
#include "support/crew.h"
#include "support/scale.h"
#include "support/seed.h"

namespace {

using namespace std::chrono_literals;
using hamgam::CancelContext;
using hamgam::Context;
using hamgam::ContextError;
using hamgam::ContextKey;
using hamgam::WaitGroup;
using hamgam::test::Crew;
using hamgam::test::scaled;
using hamgam::test::Who;

constexpr ContextKey<int> kLayer;

class ContextStress : public testing::TestWithParam<Who> {};

// CX8: all nodes of a tree are cancelled at once, from all sides.
TEST_P(ContextStress, simultaneous_cancel) {
  for (int round = 0; round < scaled(100); ++round) {
    std::vector<CancelContext> tree{hamgam::with_cancel(Context::background())};
    for (std::size_t i = 1; i < 100; ++i) {
      tree.push_back(hamgam::with_cancel(tree[(i - 1) / 3].ctx));
    }
    Crew crew(GetParam());
    for (int part = 0; part < 4; ++part) {
      crew.start([&, part] {
        for (std::size_t i = 0; i < tree.size(); ++i) {
          std::size_t const at = part % 2 == 0 ? i : tree.size() - 1 - i;
          if (i % 4 == static_cast<std::size_t>(part)) {
            tree[at].cancel();
            ASSERT_TRUE(tree[at].ctx.err());
          }
        }
      });
    }
    crew.join();
    for (const CancelContext& node : tree) {
      EXPECT_EQ(node.ctx.err(), ContextError::canceled);
      EXPECT_TRUE(node.ctx.done().try_recv().closed);
    }
  }
}

// The second cancel of a context returns no earlier than all that derives from it is cancelled.
TEST_P(ContextStress, second_cancel_reaches_all) {
  for (int round = 0; round < scaled(100); ++round) {
    auto root = hamgam::with_cancel(Context::background());
    std::vector<Context> leaves;
    for (int i = 0; i < 50; ++i) {
      leaves.push_back(hamgam::with_cancel(hamgam::with_value(root.ctx, kLayer, i)).ctx);
    }
    Crew crew(GetParam());
    for (int i = 0; i < 2; ++i) {
      crew.start([&] {
        root.cancel();
        for (const Context& leaf : leaves) {
          ASSERT_TRUE(leaf.err());
        }
      });
    }
  }
}

// CX8: two that cancel each other from their after_func.
TEST_P(ContextStress, interlocked_cancels) {
  for (int round = 0; round < scaled(200); ++round) {
    auto a = hamgam::with_cancel(Context::background());
    auto b = hamgam::with_cancel(a.ctx);
    WaitGroup both;
    both.add(2);
    auto const after_a = hamgam::after_func(a.ctx, [&] {
      b.cancel();
      both.done();
    });
    auto const after_b = hamgam::after_func(b.ctx, [&] {
      a.cancel();
      both.done();
    });
    Crew crew(GetParam());
    crew.start([&] { a.cancel(); });
    crew.start([&] { b.cancel(); });
    both.wait();
  }
}

// CX9: a child born while its parent is cancelled has its error and its cause.
TEST_P(ContextStress, birth_races_with_cancel) {
  auto const cause = std::make_exception_ptr(std::runtime_error("cause"));
  for (int round = 0; round < scaled(500); ++round) {
    auto parent = hamgam::with_cancel(Context::background());
    Crew crew(GetParam());
    crew.start([&] { parent.cancel(cause); });
    crew.start([&] {
      for (int i = 0; i < 20; ++i) {
        auto const child =
            i % 2 == 0 ? hamgam::with_cancel(parent.ctx) : hamgam::with_timeout(parent.ctx, 1h);
        WaitGroup never;
        never.add(1);
        (void)never.wait(child.ctx.stop_token());
        never.done();
        ASSERT_EQ(child.ctx.err(), ContextError::canceled);
        ASSERT_EQ(child.ctx.cause(), cause);
      }
    });
  }
}

// CX7: random stacks of layers; whoever drops what, what is held sees the cancel of the root.
TEST_P(ContextStress, random_layers) {
  std::uint64_t const seed = hamgam::test::seed();
  auto alive = std::make_shared<int>(0);
  constexpr static ContextKey<std::shared_ptr<int>> kAlive;
  auto root = hamgam::with_cancel(Context::background());
  std::vector<std::stop_token> tokens(8);
  {
    Crew crew(GetParam());
    for (unsigned part = 0; part < tokens.size(); ++part) {
      crew.start([&, part] {
        std::mt19937_64 random(seed + part);
        for (int round = 0; round < scaled(200); ++round) {
          Context ctx = root.ctx;
          int last = -1;
          for (int layer = 0; layer < 30; ++layer) {
            switch (random() % 5) {
              case 0:
                ctx = hamgam::with_cancel(ctx).ctx;
                break;
              case 1:
                ctx = hamgam::with_timeout(ctx, 1h).ctx;
                break;
              case 2:
                ctx = hamgam::with_value(hamgam::with_value(ctx, kLayer, layer), kAlive, alive);
                last = layer;
                break;
              case 3:
                (void)hamgam::with_timeout(ctx, 1us).ctx.done();
                break;
              default:
                hamgam::with_cancel(ctx).cancel();
                break;
            }
          }
          const int* const found = ctx.value(kLayer);
          ASSERT_EQ(found == nullptr ? -1 : *found, last);
          ASSERT_FALSE(ctx.err());
          tokens[part] = ctx.stop_token();
        }
      });
    }
  }
  root.cancel();
  for (const std::stop_token& token : tokens) {
    EXPECT_TRUE(token.stop_requested());
  }
  while (alive.use_count() != 1) {  // deadlines that have just fired let go of the last ones
    hamgam::yield();
  }
}

// Deadlines, cancels, drops and stops of after_func race.
TEST_P(ContextStress, deadline_races) {
  std::atomic<int> ran{0};
  std::atomic<int> stopped{0};
  std::atomic<int> registered{0};
  WaitGroup funcs;
  Crew crew(GetParam());
  for (unsigned part = 0; part < 4; ++part) {
    crew.start([&, part] {
      for (unsigned i = 0; i < static_cast<unsigned>(scaled(2000)); ++i) {
        auto timed = hamgam::with_timeout(Context::background(), std::chrono::microseconds(i % 50));
        auto const child = hamgam::with_cancel(timed.ctx);
        funcs.add();
        ++registered;
        auto const after = hamgam::after_func(child.ctx, [&] {
          ++ran;
          funcs.done();
        });
        if ((i + part) % 3 == 0) {
          timed.cancel();
        }
        if ((i + part) % 4 == 0 && after.stop()) {
          ++stopped;
          funcs.done();
        }
      }
    });
  }
  crew.join();
  funcs.wait();
  EXPECT_EQ(ran + stopped, registered);
}

INSTANTIATE_TEST_SUITE_P(Who, ContextStress, hamgam::test::everybody(), hamgam::test::name_of);

}  // namespace
