// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "wait/parking_lot.h"

#include <gtest/gtest.h>
#include <time.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "base/random.h"
#include "support/scale.h"
#include "support/seed.h"

// The queues of one bucket. MU7: addresses that share a bucket stand in a balanced tree.

namespace hamgam {
namespace {

using detail::Bucket;
using detail::Random;
using detail::Waiter;

const void* address(std::uintptr_t n) {
  return reinterpret_cast<const void*>(0x1000 + n * 4);  // never looked at, only compared
}

std::vector<Waiter*> drain(Bucket& bucket, const void* on) {
  std::vector<Waiter*> waiters;
  while (Waiter* waiter = bucket.pop(on)) {
    EXPECT_FALSE(waiter->queued);
    waiters.push_back(waiter);
  }
  return waiters;
}

TEST(ParkingLot, smoke) {
  Bucket bucket;
  Waiter a(address(1));
  Waiter b(address(1));
  Waiter c(address(2));
  EXPECT_EQ(bucket.first(address(1)), nullptr);
  EXPECT_EQ(bucket.pop(address(1)), nullptr);
  EXPECT_EQ(bucket.pop_all(address(1)), nullptr);
  bucket.push_back(a);
  bucket.push_back(c);
  bucket.push_back(b);
  EXPECT_TRUE(a.queued && b.queued && c.queued);
  EXPECT_EQ(bucket.first(address(1)), &a);
  EXPECT_EQ(bucket.first(address(2)), &c);
  EXPECT_EQ(bucket.first(address(3)), nullptr);
  EXPECT_EQ(drain(bucket, address(1)), (std::vector<Waiter*>{&a, &b}));
  EXPECT_EQ(drain(bucket, address(2)), (std::vector<Waiter*>{&c}));
}

// A hundred thousand who wait for a day are more nanoseconds than a word holds.
TEST(ParkingLot, what_many_have_waited_for_long) {
  constexpr detail::Nanos kDay = 86'400 * 1000 * detail::kMillisecond;
  detail::Contention contention;
  contention.change(100'000, 1);
  for (int day = 1; day <= 2; ++day) {
    contention.change(0, 1 + day * kDay);
  }
  EXPECT_GE(contention.take(), 1000 * kDay);
  contention.change(0, 1 + 2 * kDay);
  EXPECT_EQ(contention.take(), 0);
}

TEST(ParkingLot, push_front) {
  Bucket bucket;
  Waiter a(address(1));
  Waiter b(address(1));
  Waiter c(address(1));
  Waiter d(address(1));
  bucket.push_front(a);
  bucket.push_back(b);
  bucket.push_front(c);
  bucket.push_back(d);
  EXPECT_EQ(drain(bucket, address(1)), (std::vector<Waiter*>{&c, &a, &b, &d}));
}

TEST(ParkingLot, remove) {
  for (int which = 0; which < 4; ++which) {  // the first, those in the middle, the last
    Bucket bucket;
    std::deque<Waiter> waiters;
    for (int i = 0; i < 4; ++i) {
      bucket.push_back(waiters.emplace_back(address(1)));
    }
    Waiter& gone = waiters[static_cast<std::size_t>(which)];
    bucket.remove(gone);
    EXPECT_FALSE(gone.queued);
    bucket.push_back(gone);  // to the end
    std::vector<Waiter*> expected;
    for (Waiter& waiter : waiters) {
      if (&waiter != &gone) {
        expected.push_back(&waiter);
      }
    }
    expected.push_back(&gone);
    EXPECT_EQ(drain(bucket, address(1)), expected);
  }
}

// Thousands that give up, the last one first as std::stop_source calls them: to find each by
// walking over those before it took half a minute.
TEST(ParkingLot, giving_up_costs_the_same_however_many_wait) {
  auto const cpu_seconds = [] {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
  };
  int const count = test::scaled(100'000);
  Bucket bucket;
  std::deque<Waiter> waiters;
  for (int i = 0; i < count; ++i) {
    bucket.push_back(waiters.emplace_back(address(1)));
  }
  double const start = cpu_seconds();
  for (auto waiter = waiters.rbegin(); waiter != waiters.rend(); ++waiter) {
    bucket.remove(*waiter);
  }
  EXPECT_LT(cpu_seconds() - start, 1.0);
  EXPECT_EQ(bucket.first(address(1)), nullptr);
}

TEST(ParkingLot, pop_all) {
  Bucket bucket;
  std::deque<Waiter> waiters;
  for (int i = 0; i < 3; ++i) {
    bucket.push_back(waiters.emplace_back(address(1)));
  }
  Waiter other(address(2));
  bucket.push_back(other);
  Waiter* chain = bucket.pop_all(address(1));
  for (Waiter& waiter : waiters) {
    ASSERT_EQ(chain, &waiter);
    EXPECT_FALSE(waiter.queued);
    chain = chain->next;
  }
  EXPECT_EQ(chain, nullptr);
  EXPECT_EQ(bucket.first(address(1)), nullptr);
  EXPECT_EQ(bucket.pop(address(2)), &other);
}

// Found by reading: a node with one child, which had an inner subtree, took that along when it was
// erased.
TEST(ParkingLot, erase_keeps_the_inner_subtree) {
  std::uint64_t const seed = test::seed();
  for (std::uint64_t round = 0; round < 200; ++round) {
    Random random(seed + round);
    Bucket bucket;
    std::deque<Waiter> waiters;
    std::vector<std::uintptr_t> order;
    for (std::uintptr_t i = 0; i < 12; ++i) {
      order.push_back(i);
      std::swap(order.back(), order[random.below(static_cast<std::uint32_t>(order.size()))]);
    }
    for (std::uintptr_t i : order) {
      bucket.push_back(waiters.emplace_back(address(i)));
    }
    while (!order.empty()) {
      std::size_t const place = random.below(static_cast<std::uint32_t>(order.size()));
      ASSERT_NE(bucket.pop(address(order[place])), nullptr);
      order.erase(order.begin() + static_cast<std::ptrdiff_t>(place));
      for (std::uintptr_t i : order) {
        ASSERT_NE(bucket.first(address(i)), nullptr);
      }
    }
  }
}

TEST(ParkingLot, MU7_colliding_addresses_make_a_shallow_tree) {
  Bucket bucket;
  std::deque<Waiter> waiters;
  constexpr std::uintptr_t kAddresses = 10000;
  for (std::uintptr_t i = 0; i < kAddresses; ++i) {  // in order: the worst for a plain tree
    bucket.push_back(waiters.emplace_back(address(i)));
  }
  int deepest = 0;
  for (Waiter& waiter : waiters) {
    int depth = 0;
    for (Waiter* at = &waiter; at != nullptr; at = at->parent) {
      ++depth;
    }
    deepest = std::max(deepest, depth);
  }
  EXPECT_LT(deepest, 60);  // about 2 ln n on average; the generator of priorities is fixed
  for (Waiter& waiter : waiters) {
    ASSERT_EQ(bucket.pop(waiter.address.load()), &waiter);
  }
}

TEST(ParkingLot, stress_against_a_map_of_queues) {
  Random random(test::seed());
  Bucket bucket;
  constexpr std::uint32_t kAddresses = 24;
  constexpr std::uint32_t kWaiters = 100;
  std::vector<std::unique_ptr<Waiter>> waiters;
  for (std::uint32_t i = 0; i < kWaiters; ++i) {
    waiters.push_back(std::make_unique<Waiter>(address(0)));
  }
  std::map<const void*, std::deque<Waiter*>> model;
  for (int step = 0; step < test::scaled(200000); ++step) {
    Waiter& waiter = *waiters[random.below(kWaiters)];
    const void* const on = address(random.below(kAddresses));
    switch (random.below(8)) {
      case 0: {
        Waiter* chain = bucket.pop_all(on);
        for (Waiter* expected : model[on]) {
          ASSERT_EQ(chain, expected);
          chain = chain->next;
        }
        ASSERT_EQ(chain, nullptr);
        model[on].clear();
        break;
      }
      case 1:
        if (waiter.queued) {
          bucket.remove(waiter);
          auto& queue = model[waiter.address.load()];
          queue.erase(std::find(queue.begin(), queue.end(), &waiter));
        }
        break;
      case 2: {
        Waiter* expected = model[on].empty() ? nullptr : model[on].front();
        ASSERT_EQ(bucket.pop(on), expected);
        if (expected != nullptr) {
          model[on].pop_front();
        }
        break;
      }
      default:
        if (!waiter.queued) {
          waiter.address.store(on);
          if (random.below(4) == 0) {
            bucket.push_front(waiter);
            model[on].push_front(&waiter);
          } else {
            bucket.push_back(waiter);
            model[on].push_back(&waiter);
          }
        }
    }
    for (std::uint32_t i = 0; i < kAddresses; ++i) {
      auto& queue = model[address(i)];
      ASSERT_EQ(bucket.first(address(i)), queue.empty() ? nullptr : queue.front());
    }
  }
}

// The hash spreads neighbours: an array of locks does not end up in one bucket.
TEST(ParkingLot, buckets_of_neighbours_differ) {
  std::vector<Bucket*> buckets;
  for (std::uintptr_t i = 0; i < 256; ++i) {
    buckets.push_back(&detail::bucket_of(address(i)));
  }
  std::sort(buckets.begin(), buckets.end());
  buckets.erase(std::unique(buckets.begin(), buckets.end()), buckets.end());
  EXPECT_GT(buckets.size(), 150U);
}

}  // namespace
}  // namespace hamgam
