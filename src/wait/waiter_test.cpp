// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "wait/waiter.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdio>
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

// A sleeper whose callback takes its time.
struct SlowToTakeOut : detail::Sleeper {
  SlowToTakeOut() : Sleeper(&take_out_slowly) {}

  static bool take_out_slowly(Sleeper& sleeper, Wake) noexcept {
    auto& self = static_cast<SlowToTakeOut&>(sleeper);
    self.in_callback.store(true);
    while (!self.go_on.load()) {
      std::this_thread::yield();
    }
    self.callback_over.store(true);
    return false;
  }

  std::atomic<bool> in_callback{false};
  std::atomic<bool> go_on{false};
  std::atomic<bool> callback_over{false};
};

// R calls request_stop(), and another callback makes it park. Its thread goes to G; R is in G's
// callback, on another thread, when G has done with its Interrupt. To std::stop_callback G looks
// like the callback itself, so its destructor returned at once, and the callback went on with what
// was no more.
TEST(Interrupt, ends_after_a_callback_whose_runner_left_its_thread_to_us) {
  test::Procs const limit(2);
  int hits = 0;
  for (int round = 0; hits < 3 && round < test::scaled(200); ++round) {
    std::stop_source source;
    WaitGroup gate;
    gate.add(1);
    std::atomic<bool> registered{false};
    std::atomic<bool> parks{false};
    std::thread::id requester;
    WaitGroup group;
    std::thread helper;
    group.go([&] {  // G
      SlowToTakeOut me;
      {
        Interrupt const interrupt(me, source.get_token());
        registered.store(true);
        while (!parks.load()) {
          yield();
        }
        bool const ours = std::this_thread::get_id() == requester;
        gate.done();
        // Without a scheduling point, so that R has to run elsewhere; should nobody take it, we let
        // it run here.
        for (int i = 0; i < 200'000 && !me.in_callback.load(); ++i) {
          detail::spin_pause();
        }
        bool const hit = ours && me.in_callback.load();
        hits += hit ? 1 : 0;
        helper = std::thread([&me, hit] {
          if (hit) {
            // G is at the end by now. Nothing tells: it waits there in every way but asleep.
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
          }
          me.go_on.store(true);
        });
      }
      EXPECT_EQ(me.callback_over.load(), me.in_callback.load());
      me.go_on.store(true);
      helper.join();
    });
    group.go([&] {  // R
      while (!registered.load()) {
        yield();
      }
      std::stop_callback const first(source.get_token(), [&] {
        requester = std::this_thread::get_id();
        parks.store(true);
        gate.wait();
      });
      source.request_stop();
    });
    group.wait();
  }
  std::printf("%d hits\n", hits);
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
