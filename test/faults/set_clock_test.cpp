// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// The fault: a wait on a Cond until a time of a clock that is set back began anew after the time
// was over on ours, and slept through a notify that came between the two. Other waits until such a
// time go on, which is right.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <ratio>

#include "hamgam/hamgam.h"
#include "support/asleep.h"
#include "support/crew.h"

namespace {

using hamgam::test::Crew;
using hamgam::test::Who;

// Goes when it is set, only.
struct HandClock {
  using rep = std::int64_t;
  using period = std::micro;
  using duration = std::chrono::duration<rep, period>;
  using time_point = std::chrono::time_point<HandClock>;
  [[maybe_unused]] static constexpr bool is_steady = false;
  static time_point now() {
    ++looks;
    return time_point(duration(hand.load()));
  }
  static inline std::atomic<rep> hand = 0;
  static inline std::atomic<int> looks = 0;
};

constexpr HandClock::duration kSoon(100);

class SetClock : public testing::TestWithParam<Who> {};
INSTANTIATE_TEST_SUITE_P(, SetClock, hamgam::test::everybody(), hamgam::test::name_of);

TEST_P(SetClock, CondMissesNoNotify) {
  for (bool const with_condition : {false, true}) {
    for (int i = 0; i < 10; ++i) {
      hamgam::Mutex mutex;
      hamgam::Cond cond;
      bool ready = false;
      Crew crew(GetParam());
      crew.start([] {});  // the next one is of the other kind
      crew.start([&] {
        std::unique_lock lock(mutex);
        auto const soon = HandClock::now() + kSoon;
        if (with_condition) {
          EXPECT_TRUE(cond.wait_until(lock, soon, [&] { return ready; }));
        } else {
          while (!ready) {
            EXPECT_EQ(cond.wait_until(lock, soon), std::cv_status::no_timeout);
          }
        }
      });
      hamgam::test::await_asleep(&cond, 1);
      std::unique_lock lock(mutex);
      hamgam::test::await_asleep(&mutex, 1);  // it has had its time and wants the lock back
      ready = true;
      cond.notify_all();
      lock.unlock();
      crew.join();
    }
  }
}

TEST_P(SetClock, WaitsAsLongAsTheClockSays) {
  hamgam::Mutex mutex;
  std::lock_guard const held(mutex);
  std::atomic<bool> over = false;
  Crew crew(GetParam());
  auto const soon = HandClock::now() + kSoon;
  auto const look_again = [] {
    int const seen = HandClock::looks;
    hamgam::test::until([&] { return HandClock::looks > seen + 2; });
  };
  crew.start([&] {
    EXPECT_FALSE(mutex.try_lock_until(soon));
    hamgam::sleep_until(soon);
    over = true;
  });
  look_again();
  HandClock::hand -= 1000;
  look_again();
  EXPECT_FALSE(over);
  HandClock::hand += 1000 + kSoon.count();
  crew.join();
}

}  // namespace
