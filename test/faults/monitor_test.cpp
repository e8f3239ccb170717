// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>

#include <chrono>
#include <ctime>
#include <thread>

#include "hamgam/go.h"
#include "hamgam/waitgroup.h"

// After a pause in which it had slept for good the monitor looked without end.

namespace hamgam {
namespace {

using namespace std::chrono_literals;

std::chrono::nanoseconds used(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

TEST(Monitor, naps_beside_work_that_begins_after_a_long_pause) {
  WaitGroup group;
  group.go([] {});
  group.wait();
  std::this_thread::sleep_for(1500ms);  // time itself is what is tested: it sleeps after a second
  std::chrono::nanoseconds worked{};
  auto const before = used(CLOCK_PROCESS_CPUTIME_ID);
  group.go([&worked] {
    auto const begin = used(CLOCK_THREAD_CPUTIME_ID);
    while (worked < 300ms) {
      worked = used(CLOCK_THREAD_CPUTIME_ID) - begin;
    }
  });
  group.wait();
  auto const besides = used(CLOCK_PROCESS_CPUTIME_ID) - before - worked;
  EXPECT_LT(besides, 100ms);
}

}  // namespace
}  // namespace hamgam
