// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sched/run_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "base/random.h"
#include "support/scale.h"
#include "support/seed.h"

// SC6: 256 entries, a thief takes half, nothing is lost or doubled.

namespace hamgam {
namespace {

using detail::Goroutine;
using detail::Random;
using detail::RunQueue;

TEST(RunQueue, smoke) {
  auto queue = std::make_unique<RunQueue>();
  std::vector<Goroutine> g(2);
  EXPECT_TRUE(queue->ring_empty());
  EXPECT_EQ(queue->pop(), nullptr);
  EXPECT_EQ(queue->take_next(), nullptr);
  EXPECT_TRUE(queue->push(&g[0]));
  EXPECT_TRUE(queue->push(&g[1]));
  EXPECT_FALSE(queue->ring_empty());
  EXPECT_EQ(queue->pop(), &g[0]);
  EXPECT_EQ(queue->pop(), &g[1]);
  EXPECT_EQ(queue->pop(), nullptr);
  EXPECT_EQ(queue->exchange_next(&g[0]), nullptr);
  EXPECT_EQ(queue->exchange_next(&g[1]), &g[0]);
  EXPECT_TRUE(queue->has_next());
  EXPECT_EQ(queue->take_next(), &g[1]);
  EXPECT_FALSE(queue->has_next());
}

TEST(RunQueue, holds_256) {
  auto queue = std::make_unique<RunQueue>();
  std::vector<Goroutine> g(RunQueue::kCapacity + 1);
  ASSERT_EQ(RunQueue::kCapacity, 256U);
  for (int round = 0; round < 3; ++round) {  // the places are used in a circle
    for (std::uint32_t i = 0; i < RunQueue::kCapacity; ++i) {
      ASSERT_TRUE(queue->push(&g[i]));
    }
    EXPECT_FALSE(queue->push(&g[RunQueue::kCapacity]));
    for (std::uint32_t i = 0; i < RunQueue::kCapacity; ++i) {
      ASSERT_EQ(queue->pop(), &g[i]);
    }
    ASSERT_EQ(queue->pop(), nullptr);
  }
}

TEST(RunQueue, thief_takes_the_older_half) {
  std::vector<Goroutine> g(RunQueue::kCapacity);
  for (std::uint32_t filled : {0U, 1U, 2U, 3U, 100U, 255U, 256U}) {
    auto victim = std::make_unique<RunQueue>();
    auto mine = std::make_unique<RunQueue>();
    for (std::uint32_t i = 0; i < filled; ++i) {
      ASSERT_TRUE(victim->push(&g[i]));
    }
    std::uint32_t const stolen = filled - filled / 2;
    Goroutine* got = victim->steal_into(*mine);
    if (filled == 0) {
      EXPECT_EQ(got, nullptr);
      continue;
    }
    EXPECT_EQ(got, &g[stolen - 1]);  // the last one comes back, those before it are in the ring
    for (std::uint32_t i = 0; i + 1 < stolen; ++i) {
      ASSERT_EQ(mine->pop(), &g[i]);
    }
    EXPECT_EQ(mine->pop(), nullptr);
    for (std::uint32_t i = stolen; i < filled; ++i) {
      ASSERT_EQ(victim->pop(), &g[i]);
    }
    EXPECT_EQ(victim->pop(), nullptr);
  }
}

// An owner that pushes and pops, and thieves that steal from it and from each other. Each
// goroutine's `argument` counts how often it came out.
TEST(RunQueue, stress_each_comes_out_once) {
  std::uint64_t const seed = test::seed();
  constexpr int kThieves = 2;
  int const total = test::scaled(100000);
  std::vector<Goroutine> g(static_cast<std::size_t>(total));
  std::vector<std::atomic<int>> seen(g.size());
  std::vector<RunQueue> queues(1 + kThieves);
  std::atomic<int> left{total};
  auto take = [&](Goroutine* taken) {
    seen[static_cast<std::size_t>(taken - g.data())].fetch_add(1, std::memory_order_relaxed);
    left.fetch_sub(1, std::memory_order_relaxed);
  };

  std::thread owner([&] {
    Random random(seed);
    RunQueue& mine = queues[0];
    std::size_t next = 0;
    while (left.load(std::memory_order_relaxed) > 0) {
      std::uint32_t const batch = random.below(300);
      for (std::uint32_t i = 0; i < batch && next < g.size(); ++i) {
        if (random.below(8) == 0) {
          if (Goroutine* former = mine.exchange_next(&g[next])) {
            take(former);
          }
        } else if (!mine.push(&g[next])) {
          break;
        }
        ++next;
      }
      for (std::uint32_t i = random.below(300); i > 0; --i) {
        Goroutine* taken = random.below(8) == 0 ? mine.take_next() : mine.pop();
        if (taken != nullptr) {
          take(taken);
        }
      }
      if (next == g.size()) {
        std::this_thread::yield();
      }
    }
  });
  std::vector<std::thread> thieves;
  for (std::uint32_t me = 1; me <= kThieves; ++me) {
    thieves.emplace_back([&, me] {
      Random random(seed + me);
      while (left.load(std::memory_order_relaxed) > 0) {
        RunQueue& victim = queues[random.below(2) == 0 ? 0 : 1 + me % kThieves];
        Goroutine* taken = victim.steal_into(queues[me]);
        if (taken == nullptr && random.below(4) == 0) {
          taken = victim.take_next();
        }
        if (taken != nullptr) {
          take(taken);
        }
        if (random.below(2) == 0) {
          while ((taken = queues[me].pop()) != nullptr) {
            take(taken);
          }
        } else {  // steal_into wants an empty ring: leave some for the other thief, then take it
          for (std::uint32_t i = random.below(64); i > 0; --i) {
            std::this_thread::yield();
          }
          while ((taken = queues[me].pop()) != nullptr) {
            take(taken);
          }
        }
      }
    });
  }
  owner.join();
  for (std::thread& thief : thieves) {
    thief.join();
  }
  EXPECT_EQ(left.load(), 0);
  for (const std::atomic<int>& count : seen) {
    ASSERT_EQ(count.load(), 1);
  }
}

}  // namespace
}  // namespace hamgam
