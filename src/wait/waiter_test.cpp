// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "wait/waiter.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stop_token>
#include <thread>
#include <vector>

#include "os/clock.h"
#include "support/crew.h"
#include "support/scale.h"
#include "wait/parking_lot.h"

// Sleeping, waking and being interrupted, by goroutines and plain threads.

namespace hamgam {
namespace {

using detail::Bucket;
using detail::Interrupt;
using detail::kMillisecond;
using detail::Waiter;
using detail::Wake;
using test::Crew;
using test::Who;

class WaiterTest : public testing::TestWithParam<Who> {
 protected:
  // Sleeps on the address; the waiter may be interrupted.
  static Wake sleep_on(Waiter& me) {
    Bucket& bucket = detail::bucket_of(me.address.load());
    bucket.lock();
    bucket.push_back(me);
    return bucket.sleep(me, "test");
  }

  // Wakes one that sleeps on the address, as soon as there is one.
  static void wake_one(const void* address) {
    Bucket& bucket = detail::bucket_of(address);
    for (;;) {
      bucket.lock();
      Waiter* waiter = bucket.pop(address);
      bucket.unlock();
      if (waiter != nullptr) {
        detail::wake(*waiter);
        return;
      }
      yield();
    }
  }

  int place_ = 0;
};

INSTANTIATE_TEST_SUITE_P(, WaiterTest, test::everybody(), test::name_of);

TEST_P(WaiterTest, smoke) {
  Crew crew(GetParam());
  for (int i = 0; i < 2; ++i) {
    crew.start([&] {
      Waiter me(&place_);
      EXPECT_EQ(sleep_on(me), Wake::kWoken);
      EXPECT_FALSE(me.queued);
    });
  }
  for (int i = 0; i < 2; ++i) {
    crew.start([&] { wake_one(&place_); });
  }
}

TEST_P(WaiterTest, timeout) {
  Crew crew(GetParam());
  for (int i = 0; i < 4; ++i) {
    crew.start([&] {
      Waiter me(&place_);
      detail::Nanos const deadline = detail::now() + 5 * kMillisecond;
      Interrupt const interrupt(me, deadline);
      EXPECT_EQ(sleep_on(me), Wake::kTimedOut);
      EXPECT_GE(detail::now(), deadline);
      EXPECT_FALSE(me.queued);
      EXPECT_EQ(sleep_on(me), Wake::kTimedOut);  // and does not sleep again
    });
  }
}

TEST_P(WaiterTest, deadline_that_has_passed) {
  Crew crew(GetParam());
  for (int i = 0; i < 2; ++i) {
    crew.start([&] {
      Waiter me(&place_);
      Interrupt const interrupt(me, detail::now() - 1);
      EXPECT_EQ(sleep_on(me), Wake::kTimedOut);
    });
  }
}

TEST_P(WaiterTest, stop) {
  std::stop_source source;
  std::atomic<int> asleep{0};
  Crew crew(GetParam());
  for (int i = 0; i < 4; ++i) {
    crew.start([&] {
      Waiter me(&place_);
      Interrupt const interrupt(me, source.get_token());
      ++asleep;
      EXPECT_EQ(sleep_on(me), Wake::kStopped);
      EXPECT_FALSE(me.queued);
    });
  }
  while (asleep.load() < 4) {
    std::this_thread::yield();
  }
  crew.start([&] { source.request_stop(); });
}

TEST_P(WaiterTest, stop_requested_before) {
  std::stop_source source;
  source.request_stop();
  Crew crew(GetParam());
  for (int i = 0; i < 2; ++i) {
    crew.start([&] {
      Waiter me(&place_);
      Interrupt const interrupt(me, source.get_token());
      EXPECT_EQ(sleep_on(me), Wake::kStopped);
    });
  }
}

// Whoever is woken was woken by one of the two, and no wake is lost: a wake either finds the waiter
// or comes after it was interrupted.
TEST_P(WaiterTest, timeout_races_with_wake) {
  Crew crew(GetParam());
  int const rounds = test::scaled(20000);
  std::atomic<int> woken{0};
  std::atomic<int> delivered{0};
  std::atomic<int> over{0};
  for (int i = 0; i < 2; ++i) {
    crew.start([&] {
      for (int round = 0; round < rounds; ++round) {
        Waiter me(&place_);
        Interrupt const interrupt(me, detail::now() + round % 50 * 1000);
        Wake const how = sleep_on(me);
        ASSERT_TRUE(how == Wake::kWoken || how == Wake::kTimedOut);
        woken += how == Wake::kWoken ? 1 : 0;
      }
      ++over;
    });
  }
  crew.start([&] {
    Bucket& bucket = detail::bucket_of(&place_);
    while (over.load() < 2) {
      bucket.lock();
      Waiter* waiter = bucket.pop(&place_);
      bucket.unlock();
      if (waiter != nullptr) {
        detail::wake(*waiter);
        ++delivered;
      }
      yield();
    }
  });
  crew.join();
  EXPECT_EQ(woken.load(), delivered.load());
}

TEST_P(WaiterTest, stop_races_with_wake) {
  int const rounds = test::scaled(4000);
  for (int round = 0; round < rounds; ++round) {
    std::stop_source source;
    [[maybe_unused]] std::atomic<bool> stopped{false};
    Crew crew(GetParam());
    Wake how = Wake::kNone;
    std::atomic<bool> ended{false};
    std::atomic<int> delivered{0};
    crew.start([&] {
      Waiter me(&place_);
      {
        Interrupt const interrupt(me, source.get_token());
        how = sleep_on(me);
      }
      ended.store(true);
    });
    crew.start([&] { source.request_stop(); });
    crew.start([&] {
      Bucket& bucket = detail::bucket_of(&place_);
      bucket.lock();
      Waiter* waiter = bucket.pop(&place_);
      bucket.unlock();
      if (waiter != nullptr) {
        detail::wake(*waiter);
        ++delivered;
      }
    });
    crew.join();
    ASSERT_TRUE(ended.load());
    ASSERT_EQ(how, delivered.load() == 1 ? Wake::kWoken : Wake::kStopped);
  }
}

// wake_all passes through a chain whose waiters may be gone as soon as they are woken.
TEST_P(WaiterTest, stress_wake_all) {
  constexpr int kSleepers = 8;
  int const rounds = test::scaled(600);
  std::atomic<int> woken{0};
  Crew crew(GetParam());
  for (int i = 0; i < kSleepers; ++i) {
    crew.start([&] {
      for (int round = 0; round < rounds; ++round) {
        Waiter me(&place_);
        EXPECT_EQ(sleep_on(me), Wake::kWoken);
        ++woken;
      }
    });
  }
  crew.start([&] {
    Bucket& bucket = detail::bucket_of(&place_);
    while (woken.load() < kSleepers * rounds) {
      bucket.lock();
      Waiter* chain = bucket.pop_all(&place_);
      bucket.unlock();
      detail::wake_all(chain);
      yield();
    }
  });
}

}  // namespace
}  // namespace hamgam
