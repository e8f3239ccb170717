// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "base/intrusive_queue.h"

#include <gtest/gtest.h>

#include <deque>
#include <vector>

#include "base/random.h"
#include "support/seed.h"

namespace hamgam {
namespace {

using detail::IntrusiveQueue;
using detail::Random;

struct Item {
  Item* next = nullptr;
};

std::vector<Item*> drain(IntrusiveQueue<Item>& queue) {
  std::vector<Item*> items;
  while (Item* item = queue.pop()) {
    items.push_back(item);
  }
  return items;
}

TEST(IntrusiveQueue, smoke) {
  Item a;
  Item b;
  IntrusiveQueue<Item> queue;
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.front(), nullptr);
  EXPECT_EQ(queue.pop(), nullptr);
  queue.push(&a);
  queue.push(&b);
  EXPECT_FALSE(queue.empty());
  EXPECT_EQ(queue.front(), &a);
  EXPECT_EQ(drain(queue), (std::vector<Item*>{&a, &b}));
  EXPECT_TRUE(queue.empty());
  queue.push(&b);  // used again after it was empty: the stale tail does not matter
  queue.push(&a);
  EXPECT_EQ(drain(queue), (std::vector<Item*>{&b, &a}));
}

TEST(IntrusiveQueue, append) {
  Item items[5];
  IntrusiveQueue<Item> first;
  IntrusiveQueue<Item> second;
  first.append(second);  // nothing to nothing
  EXPECT_TRUE(first.empty());
  second.push(&items[0]);
  second.push(&items[1]);
  first.append(second);  // to an empty one
  EXPECT_TRUE(second.empty());
  first.append(second);  // nothing to some
  second.push(&items[2]);
  first.append(second);
  first.push(&items[3]);
  second.push(&items[4]);  // the one that gave all away goes on
  EXPECT_EQ(drain(first), (std::vector<Item*>{&items[0], &items[1], &items[2], &items[3]}));
  EXPECT_EQ(drain(second), (std::vector<Item*>{&items[4]}));
}

TEST(IntrusiveQueue, stress_against_deques) {
  Random random(test::seed());
  std::vector<Item> items(64);
  std::vector<Item*> free;
  for (Item& item : items) {
    free.push_back(&item);
  }
  IntrusiveQueue<Item> queues[2];
  std::deque<Item*> models[2];
  for (int step = 0; step < 20000; ++step) {
    unsigned const which = random.below(2);
    switch (random.below(8)) {
      case 0:
        queues[which].append(queues[1 - which]);
        models[which].insert(models[which].end(), models[1 - which].begin(),
                             models[1 - which].end());
        models[1 - which].clear();
        break;
      case 1:
      case 2:
      case 3:
        if (!models[which].empty()) {
          ASSERT_EQ(queues[which].pop(), models[which].front());
          free.push_back(models[which].front());
          models[which].pop_front();
        }
        break;
      default:
        if (!free.empty()) {
          queues[which].push(free.back());
          models[which].push_back(free.back());
          free.pop_back();
        }
    }
    for (int i = 0; i < 2; ++i) {
      ASSERT_EQ(queues[i].empty(), models[i].empty());
      ASSERT_EQ(queues[i].front(), models[i].empty() ? nullptr : models[i].front());
    }
  }
}

}  // namespace
}  // namespace hamgam
