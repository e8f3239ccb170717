// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "chan/chan_core.h"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <deque>
#include <random>

#include "support/seed.h"

// The queue of those who wait, and who of them is claimed.

namespace hamgam {
namespace {

using detail::ChanQueue;
using detail::ChanWaiter;
using detail::Claim;
using detail::Selection;

// Beside a std::deque: any may leave, the first is taken.
TEST(ChanQueue, is_a_fifo_that_any_may_leave) {
  std::mt19937_64 random(test::seed());
  std::array<ChanWaiter, 16> waiters;
  std::deque<ChanWaiter*> model;
  ChanQueue queue;
  for (int i = 0; i < 10'000; ++i) {
    ChanWaiter& waiter = waiters[random() % waiters.size()];
    Claim claim = Claim::kLost;
    if (random() % 4 == 0) {
      ChanWaiter* const expected = model.empty() ? nullptr : model.front();
      ASSERT_EQ(queue.take(nullptr, claim), expected);
      if (expected != nullptr) {
        EXPECT_EQ(claim, Claim::kParked);
        model.pop_front();
      }
    } else if (waiter.queued) {
      queue.remove(waiter);
      std::erase(model, &waiter);
    } else {
      queue.push(waiter);
      model.push_back(&waiter);
    }
    ASSERT_EQ(queue.empty(), model.empty());
  }
}

TEST(ChanQueue, skips_selects_that_were_claimed_elsewhere_and_ones_own) {
  Selection own;
  Selection taken;
  Selection open;
  std::array<ChanWaiter, 4> waiters;
  ChanQueue queue;
  waiters[0].selection = &own;
  waiters[1].selection = &taken;
  waiters[2].selection = &open;
  waiters[2].place = 5;
  for (ChanWaiter& waiter : waiters) {
    queue.push(waiter);
  }
  EXPECT_EQ(taken.claim(0), Claim::kEarly);
  Claim claim = Claim::kLost;
  EXPECT_EQ(queue.take(&own, claim), &waiters[2]);
  EXPECT_EQ(claim, Claim::kEarly);
  EXPECT_TRUE(open.has_winner());
  EXPECT_EQ(open.winner(), 5U);
  EXPECT_TRUE(waiters[0].queued) << "one's own case stays";
  EXPECT_FALSE(waiters[1].queued) << "who was claimed elsewhere is dropped";
  EXPECT_TRUE(queue.has_other_than(&own));
  EXPECT_EQ(queue.take(&own, claim), &waiters[3]);
  EXPECT_FALSE(queue.has_other_than(&own));
  EXPECT_EQ(queue.take(&own, claim), nullptr);
}

TEST(Selection, is_claimed_once) {
  Selection selection;
  EXPECT_TRUE(selection.claim_own(1));
  EXPECT_EQ(selection.claim(2), Claim::kLost);
  EXPECT_FALSE(selection.take_out(selection, detail::Wake::kTimedOut));
  selection.reopen();
  EXPECT_FALSE(selection.take_out(selection, detail::Wake::kStopped)) << "it does not sleep yet";
  EXPECT_FALSE(selection.claim_own(0));
  EXPECT_FALSE(selection.has_winner());
  EXPECT_TRUE(selection.was_stopped());
  selection.sleep("test");  // does not: it was stopped
}

}  // namespace
}  // namespace hamgam
