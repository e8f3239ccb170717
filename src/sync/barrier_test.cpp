// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/barrier.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <random>
#include <stdexcept>
#include <stop_token>
#include <vector>

#include "hamgam/go.h"
#include "hamgam/panic.h"
#include "hamgam/time.h"
#include "support/asleep.h"
#include "support/child.h"
#include "support/crew.h"
#include "support/scale.h"
#include "support/seed.h"

namespace {

using namespace std::chrono_literals;
using hamgam::Barrier;
using hamgam::Panic;
using hamgam::test::at_once;
using hamgam::test::await_asleep;
using hamgam::test::scaled;
using hamgam::test::until;
using hamgam::test::Who;

class BarrierTest : public testing::TestWithParam<Who> {};

// Nobody is ahead of anybody by more than a phase; plain data of a phase can be read in the next.
TEST_P(BarrierTest, Smoke) {
  constexpr int kWorkers = 5;
  int const phases = scaled(200);
  int completed = 0;
  Barrier barrier(kWorkers, [&completed] { ++completed; });
  std::vector<int> done(kWorkers, 0);
  at_once(GetParam(), kWorkers, [&](int i) {
    for (int phase = 1; phase <= phases; ++phase) {
      done[static_cast<std::size_t>(i)] = phase;
      barrier.arrive_and_wait();
      EXPECT_EQ(completed, 2 * phase - 1);
      for (int const other : done) {
        EXPECT_EQ(other, phase);
      }
      barrier.arrive_and_wait();
    }
  });
  EXPECT_EQ(completed, 2 * phases);
}

// The function may park; meanwhile all wait.
TEST_P(BarrierTest, CompletionRunsBeforeAnybodyGoesOn) {
  std::atomic<bool> completed{false};
  Barrier barrier(3, [&completed] {
    hamgam::sleep(1ms);  // parks
    completed = true;
  });
  at_once(GetParam(), 3, [&](int i) {
    if (i == 0) {
      barrier.arrive_and_wait();
    } else if (i == 1) {
      EXPECT_TRUE(barrier.arrive_and_wait_for(1h));
    } else {
      EXPECT_TRUE(barrier.arrive_and_wait(std::stop_token()));
    }
    EXPECT_TRUE(completed);
  });
}

TEST_P(BarrierTest, DroppingOut) {
  int completed = 0;
  Barrier barrier(4, [&completed] { ++completed; });
  at_once(GetParam(), 4, [&](int i) {
    for (int phase = 0; phase < i; ++phase) {
      barrier.arrive_and_wait();
    }
    barrier.arrive_and_drop();
  });
  EXPECT_EQ(completed, 4);
  EXPECT_THROW(barrier.arrive_and_drop(), Panic);
}

// An arrival that was given up is as if it had never been.
TEST_P(BarrierTest, TimeoutAndStop) {
  hamgam::test::Crew crew(GetParam());
  Barrier barrier(2);
  std::stop_source stop;
  std::atomic<int> step{0};
  crew.start([&] {
    EXPECT_FALSE(barrier.arrive_and_wait_for(1ms));
    EXPECT_FALSE(barrier.arrive_and_wait_for(0s));
    EXPECT_FALSE(barrier.arrive_and_wait_until(hamgam::Clock::now() + 1ms));
    EXPECT_FALSE(barrier.arrive_and_wait_until(std::chrono::system_clock::now() + 1ms));
    step = 1;
    EXPECT_FALSE(barrier.arrive_and_wait(stop.get_token()));
    EXPECT_FALSE(barrier.arrive_and_wait(stop.get_token()));
    step = 2;
    barrier.arrive_and_wait();
  });
  until([&] { return step == 1; });
  await_asleep(&barrier, 1);
  stop.request_stop();
  until([&] { return step == 2; });
  barrier.arrive_and_wait();
  crew.join();
  // The last one goes on even then.
  Barrier alone(1);
  EXPECT_TRUE(alone.arrive_and_wait(stop.get_token()));
  EXPECT_TRUE(alone.arrive_and_wait_for(0s));
}

// Some give up just when the last one comes: all agree on whether the phase was theirs.
TEST_P(BarrierTest, GivingUpAgainstTheLastOne) {
  std::mt19937_64 random(hamgam::test::seed());
  for (int round = 0; round < scaled(300); ++round) {
    int completed = 0;
    Barrier barrier(3, [&completed] {
      hamgam::yield();
      ++completed;
    });
    std::stop_source stop;
    std::atomic<int> through{0};
    auto const wait = std::chrono::microseconds(random() % 100);
    hamgam::test::Crew crew(GetParam());
    crew.start([&] { through += barrier.arrive_and_wait_for(wait) ? 1 : 0; });
    crew.start([&] { through += barrier.arrive_and_wait(stop.get_token()) ? 1 : 0; });
    crew.start([&] {
      if (round % 2 == 0) {
        hamgam::sleep(wait);  // by chance before or after the time is over
      }
      stop.request_stop();
    });
    through += barrier.arrive_and_wait_for(wait) ? 1 : 0;
    crew.join();
    EXPECT_TRUE(through == 0 || through == 3) << through;
    EXPECT_EQ(completed, through / 3);
    // It is as good as new.
    at_once(GetParam(), 3, [&barrier](int) { barrier.arrive_and_wait(); });
    EXPECT_EQ(completed, through / 3 + 1);
  }
}

// Whoever has been released may destroy it.
TEST_P(BarrierTest, DestroyAfterRelease) {
  for (int round = 0; round < scaled(300); ++round) {
    auto barrier = std::make_unique<Barrier>(3);
    Barrier* const raw = barrier.get();
    hamgam::test::Crew crew(GetParam());
    crew.start([raw] { raw->arrive_and_wait(); });
    crew.start([raw] { raw->arrive_and_wait(); });
    await_asleep(raw, 2);
    crew.start([&barrier] {
      barrier->arrive_and_wait();
      barrier.reset();
    });
    crew.join();
  }
}

INSTANTIATE_TEST_SUITE_P(By, BarrierTest, hamgam::test::everybody(), hamgam::test::name_of);

TEST(Barrier, Misuse) {
  EXPECT_THROW(Barrier(-1), Panic);
  Barrier none(0);
  try {
    none.arrive_and_wait();
    ADD_FAILURE() << "it did not throw";
  } catch (const Panic& e) {
    EXPECT_STREQ(e.what(), "barrier: more arrivals than expected");
  }
  std::unique_ptr<Barrier> own;
  own = std::make_unique<Barrier>(1, [&own] { EXPECT_THROW(own->arrive_and_wait(), Panic); });
  own->arrive_and_wait();
}

TEST(Barrier, CompletionThatThrowsIsAPanic) {
  auto child = hamgam::test::in_child([] {
    hamgam::run([] {
      Barrier barrier(1, [] { throw std::runtime_error("in the completion"); });
      barrier.arrive_and_wait();
    });
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins("panic: in the completion\n")) << child.error;
}

}  // namespace
