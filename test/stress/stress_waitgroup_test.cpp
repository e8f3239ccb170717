// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <stop_token>
#include <thread>
#include <vector>

#include "base/random.h"
#include "hamgam/hamgam.h"
#include "support/crew.h"
#include "support/scale.h"
#include "support/seed.h"

namespace hamgam {
namespace {

using detail::Random;
using test::Crew;
using test::Who;

class StressWaitGroupTest : public testing::TestWithParam<Who> {};

INSTANTIATE_TEST_SUITE_P(, StressWaitGroupTest, test::everybody(), test::name_of);

// The one that waited destroys the group as soon as wait returns, whether it slept or not.
TEST_P(StressWaitGroupTest, destroy_after_wait) {
  int const total = test::scaled(200000);
  constexpr int kBatch = 2000;
  for (int from = 0; from < total; from += kBatch) {
    std::vector<std::unique_ptr<WaitGroup>> groups(kBatch);
    for (auto& group : groups) {
      group = std::make_unique<WaitGroup>();
      group->add(2);
    }
    std::vector<WaitGroup*> raw;
    for (auto& group : groups) {
      raw.push_back(group.get());
    }
    Crew crew(GetParam());
    crew.start([&] {
      for (auto& group : groups) {
        group->wait();
        group.reset();
      }
    });
    for (int i = 0; i < 2; ++i) {
      crew.start([&] {
        for (WaitGroup* group : raw) {
          group->done();
        }
      });
    }
  }
}

TEST_P(StressWaitGroupTest, destroy_after_wait_for_goroutines) {
  int const rounds = test::scaled_spawns(50000);
  Crew crew(GetParam());
  for (int i = 0; i < 2; ++i) {
    crew.start([&] {
      for (int round = 0; round < rounds; ++round) {
        auto group = std::make_unique<WaitGroup>();
        for (int j = round % 4; j >= 0; --j) {
          group->go([] {});
        }
        group->wait();
      }
    });
  }
}

// True: the counter was 0, and everything before each done is seen. False: it was not.
TEST_P(StressWaitGroupTest, timeout_races_with_done) {
  int const rounds = test::scaled(5000);
  int const limit = test::scaled(100);
  for (int round = 0; round < rounds; ++round) {
    WaitGroup group;
    int written = 0;
    group.add(1);
    Crew crew(GetParam());
    crew.start([&] {
      if (group.wait_for(std::chrono::microseconds(round % limit))) {
        EXPECT_EQ(written, 1);
      }
      group.wait();
      EXPECT_EQ(written, 1);
    });
    crew.start([&] {
      written = 1;
      group.done();
    });
  }
}

TEST_P(StressWaitGroupTest, stop_races_with_done) {
  int const rounds = test::scaled(5000);
  for (int round = 0; round < rounds; ++round) {
    WaitGroup group;
    std::stop_source source;
    int written = 0;
    group.add(1);
    Crew crew(GetParam());
    crew.start([&] {
      if (group.wait(source.get_token())) {
        EXPECT_EQ(written, 1);
      }
      group.wait();
    });
    crew.start([&] { source.request_stop(); });
    crew.start([&] {
      written = 1;
      group.done();
    });
  }
}

// Many that count, many that wait in every way, and the group used again and again.
TEST_P(StressWaitGroupTest, stress) {
  std::uint64_t const seed = test::seed();
  WaitGroup group;
  int const rounds = test::scaled(400);
  for (int round = 0; round < rounds; ++round) {
    constexpr int kWorkers = 6;
    constexpr int kWaiters = 4;
    long sum = 0;
    Mutex mutex;
    std::stop_source never;
    group.add(kWorkers);
    Crew crew(GetParam());
    for (int i = 0; i < kWorkers; ++i) {
      crew.start([&, i] {
        Random random(seed + static_cast<std::uint64_t>(round * kWorkers + i));
        for (std::uint32_t extra = random.below(5); extra > 0; --extra) {
          group.add(1);
          group.go([&] {
            LockGuard const guard(mutex);
            ++sum;
          });
          group.done();
        }
        LockGuard const guard(mutex);
        ++sum;
        group.done();
      });
    }
    std::atomic<long> seen{-1};
    for (int i = 0; i < kWaiters; ++i) {
      crew.start([&, i] {
        if (i == 0) {
          group.wait();
        } else if (i == 1) {
          while (!group.wait_for(std::chrono::microseconds(round % 50))) {
          }
        } else {
          EXPECT_TRUE(group.wait(never.get_token()));
        }
        long unseen = -1;
        if (!seen.compare_exchange_strong(unseen, sum)) {
          EXPECT_EQ(unseen, sum);  // it does not change after the first one has returned
        }
      });
    }
    crew.join();
    EXPECT_GE(seen.load(), kWorkers);
  }
}

}  // namespace
}  // namespace hamgam
