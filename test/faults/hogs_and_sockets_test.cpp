// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>
#include <poll.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>

#include "hamgam/hamgam.h"
#include "hamgam/net.h"
#include "sched/scheduler.h"
#include "support/crew.h"
#include "support/scale.h"
#include "support/until.h"

// Goroutines that compute for ever take a worker each. The one that is left waits for descriptors
// and keeps time all the same, although there are more workers than slots.

namespace hamgam {
namespace {

using namespace std::chrono_literals;
using test::Procs;

class Hogs {
 public:
  explicit Hogs(int count) {
    for (int i = 0; i < count; ++i) {
      group_.go([this] {
        started_.fetch_add(1);
        while (!over_.load(std::memory_order_relaxed)) {
        }
      });
    }
    while (started_.load() < count) {
      yield();
    }
  }
  ~Hogs() {
    over_.store(true);
    group_.wait();
  }
  Hogs(const Hogs&) = delete;
  Hogs& operator=(const Hogs&) = delete;

 private:
  WaitGroup group_;
  std::atomic<int> started_{0};
  std::atomic<bool> over_{false};
};

// The monitor sleeps until it is told of something.
bool monitor_sleeps() {
  return detail::g_scheduler.monitor_sleep.load() != detail::MonitorSleep::kLight &&
         detail::g_scheduler.monitor_looks_at.load() == detail::kForever;
}

TEST(HogsAndSockets, messages_are_answered) {
  Procs const procs(1);
  auto const [here, there] = net::pipe();
  Hogs const hogs(3);
  WaitGroup echo;
  echo.go([there = there] {
    std::array<std::byte, 1> one{};
    std::error_code error;
    while (there.read_some(one, error) == 1) {
      there.write_all(one, error);
    }
  });
  std::array<std::byte, 1> one{};
  for (int i = 0; i < test::scaled(200); ++i) {
    here.write_all(one);
    // Waits by itself, so that nobody is told of anything.
    pollfd answer{here.fd(), POLLIN, 0};
    ASSERT_EQ(poll(&answer, 1, -1), 1);
    ASSERT_EQ(here.read_some(one), 1U);
  }
  // Nothing has happened for long: there is nobody but the one who sleeps to look.
  ASSERT_TRUE(test::comes_true(&monitor_sleeps));
  here.write_all(one);
  pollfd answer{here.fd(), POLLIN, 0};
  EXPECT_EQ(poll(&answer, 1, test::scaled(10'000)), 1) << "nobody looks";
  here.close();
  echo.wait();
}

TEST(HogsAndSockets, timers_fire) {
  Procs const procs(1);
  Hogs const hogs(3);
  WaitGroup group;
  group.go([] {
    for (int i = 0; i < test::scaled(50); ++i) {
      sleep(1ms);
    }
  });
  group.wait();
}

}  // namespace
}  // namespace hamgam
