// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/detail/arrival.h"

#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <stop_token>

#include "hamgam/detail/deadline.h"
#include "hamgam/go.h"
#include "hamgam/spawn.h"
#include "support/scale.h"

namespace hamgam {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace): literals
using detail::Arrival;
using detail::deadline_after;

// Runs the test in a goroutine and on a plain thread.
template <class F>
void in_both(F f) {
  f();
  run(f);
}

TEST(Arrival, BeforeTheWait) {
  in_both([] {
    Arrival arrival;
    EXPECT_FALSE(arrival.arrived());
    arrival.arrive();
    EXPECT_TRUE(arrival.arrived());
    arrival.wait();
    EXPECT_TRUE(arrival.wait_until(0));
    std::stop_source stop;
    stop.request_stop();
    EXPECT_TRUE(arrival.wait(stop.get_token()));
  });
}

TEST(Arrival, Interrupted) {
  in_both([] {
    Arrival arrival;
    EXPECT_FALSE(arrival.wait_until(0));
    EXPECT_FALSE(arrival.wait_until(deadline_after(2ms)));
    std::stop_source stop;
    auto other = spawn([&] { stop.request_stop(); });
    EXPECT_FALSE(arrival.wait(stop.get_token()));
    EXPECT_FALSE(arrival.wait(stop.get_token()));
    other.get();
    auto last = spawn([&] { arrival.arrive(); });
    arrival.wait();
    last.get();
  });
}

// The one who waits destroys it as soon as it may, and writes where it stood.
TEST(Arrival, StressDestroyedAtOnce) {
  in_both([] {
    int const rounds = test::scaled(20'000);
    for (int i = 0; i < rounds; ++i) {
      std::optional<Arrival> arrival(std::in_place);
      int value = 0;
      auto other = spawn([&value, told = &*arrival] {
        value = 1;
        told->arrive();
      });
      arrival->wait();
      arrival.reset();
      EXPECT_EQ(value, 1);
      other.get();
    }
  });
}

TEST(Arrival, StressInterrupts) {
  in_both([] {
    int const rounds = test::scaled(5'000);
    for (int i = 0; i < rounds; ++i) {
      Arrival arrival;
      std::stop_source stop;
      auto arrives = spawn([&] { arrival.arrive(); });
      auto stops = spawn([&] { stop.request_stop(); });
      bool came = arrival.wait(stop.get_token());
      while (!came) {
        came = arrival.wait_until(deadline_after(std::chrono::nanoseconds(i)));
      }
      arrives.get();
      stops.get();
      EXPECT_TRUE(arrival.arrived());
    }
  });
}

}  // namespace
}  // namespace hamgam
