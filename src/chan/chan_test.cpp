// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/chan.h"

#include <gtest/gtest.h>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <iterator>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "hamgam/go.h"
#include "hamgam/select.h"
#include "hamgam/time.h"
#include "hamgam/waitgroup.h"
#include "support/seed.h"

namespace {

using namespace std::chrono_literals;
using hamgam::Chan;
using hamgam::make_chan;
using hamgam::RecvChan;
using hamgam::SendChan;
using hamgam::Unit;

static_assert(sizeof(Chan<int>) == sizeof(void*));
static_assert(std::convertible_to<Chan<int>, SendChan<int>>);
static_assert(std::convertible_to<Chan<int>, RecvChan<int>>);
static_assert(!std::convertible_to<SendChan<int>, Chan<int>>);
static_assert(!std::convertible_to<RecvChan<int>, SendChan<int>>);

template <class C>
concept CanSend = requires(const C& ch) { ch.send(1); };
template <class C>
concept CanRecv = requires(const C& ch) { ch.recv(); };
static_assert(CanSend<SendChan<int>> && !CanRecv<SendChan<int>>);
static_assert(CanRecv<RecvChan<int>> && !CanSend<RecvChan<int>>);

TEST(Chan, Smoke) {
  auto ch = make_chan<int>();
  hamgam::go([ch] {
    for (int i = 0; i < 1000; ++i) {
      ch.send(i);
    }
    ch.close();
  });
  int expected = 0;
  for (int value : ch) {
    EXPECT_EQ(value, expected++);
  }
  EXPECT_EQ(expected, 1000);
}

TEST(Chan, BufferedInGoroutines) {
  (void)hamgam::run([] {
    auto ch = make_chan<std::string>(3);
    hamgam::WaitGroup group;
    group.go([ch] {
      for (int i = 0; i < 1000; ++i) {
        ch.send(std::to_string(i));
      }
      ch.close();
    });
    int expected = 0;
    while (auto value = ch.recv()) {
      EXPECT_EQ(*value, std::to_string(expected++));
    }
    EXPECT_EQ(expected, 1000);
    group.wait();
  });
}

TEST(Chan, MoveOnlyAndFailedSendsKeepTheValue) {
  auto ch = make_chan<std::unique_ptr<int>>(1);
  auto value = std::make_unique<int>(7);
  EXPECT_TRUE(ch.try_send(std::move(value)));
  EXPECT_EQ(value, nullptr);
  value = std::make_unique<int>(8);
  EXPECT_FALSE(ch.try_send(std::move(value)));
  EXPECT_FALSE(ch.send_for(std::move(value), 1ms));
  EXPECT_NE(value, nullptr);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_FALSE(ch.send(std::move(value), stop.get_token()));
  EXPECT_NE(value, nullptr);
  for (std::unique_ptr<int> got : ch) {
    EXPECT_EQ(*got, 7);
    ch.close();
  }
  EXPECT_THROW(ch.send(std::move(value)), hamgam::Panic);
  EXPECT_EQ(*value, 8);
}

TEST(Chan, TryTimedAndStop) {
  auto ch = make_chan<int>();
  EXPECT_FALSE(ch.try_send(1));
  EXPECT_FALSE(ch.try_recv().value.has_value());
  EXPECT_FALSE(ch.recv_for(1ms).value.has_value());
  EXPECT_FALSE(ch.recv_until(std::chrono::system_clock::now() + 1ms).value.has_value());
  std::stop_source stop;
  std::thread stopper([&] { stop.request_stop(); });
  auto stopped = ch.recv(stop.get_token());
  EXPECT_FALSE(stopped.value.has_value() || stopped.closed);
  stopper.join();
  std::thread receiver([ch] { EXPECT_EQ(ch.recv_for(10s).value, 5); });
  EXPECT_TRUE(ch.send_for(5, 10s));
  receiver.join();
  ch.close();
  EXPECT_TRUE(ch.try_recv().closed);
}

// A case keeps the handle that it was given for good, so it may be kept in a variable.
TEST(Chan, ACaseInAVariableKeepsATemporaryHandle) {
  auto tick = hamgam::on_recv(hamgam::after(1us));
  EXPECT_EQ(hamgam::select(tick), 0U);

  auto ch = make_chan<std::string>(1);
  std::string const value = "value";
  std::optional<std::string> got;
  auto send = hamgam::on_send(SendChan<std::string>(ch), value);
  auto receive = hamgam::on_recv(RecvChan<std::string>(std::exchange(ch, {})),
                                 [&](std::optional<std::string> s) { got = std::move(s); });
  EXPECT_EQ(hamgam::select(send), 0U);
  EXPECT_EQ(hamgam::select(receive), 0U);
  EXPECT_EQ(got, value);

  hamgam::SelectSet set;
  set.add(hamgam::on_recv(hamgam::after(1us)));
  EXPECT_EQ(set.wait(), 0U);
}

// Each removal moved all cases behind it: here 100,000 times 200,000.
TEST(SelectSet, ManyAreRemovedFromTheFront) {
  constexpr std::size_t kCases = 200'000;
  hamgam::SelectSet set;
  for (std::size_t i = 0; i < kCases; ++i) {
    set.add(hamgam::on_timeout(1h));
  }
  auto const begin = std::chrono::steady_clock::now();
  for (std::size_t key = 0; key < kCases; ++key) {
    set.remove(key);
    ASSERT_EQ(set.size(), kCases - 1 - key);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
}

TEST(SelectSet, MovedToItselfItIsWhatItWas) {
  auto const c = make_chan<int>(1);
  hamgam::SelectSet set;
  int got = 0;
  set.add(hamgam::on_recv(c, [&](std::optional<int> value) { got = value.value_or(0); }));
  hamgam::SelectSet& same = set;
  set = std::move(same);
  EXPECT_EQ(set.size(), 1U);
  c.send(7);
  (void)set.wait();
  EXPECT_EQ(got, 7);
}

TEST(SelectSet, TheOthersKeepTheirKeys) {
  auto const ch = make_chan<int>(1);
  hamgam::SelectSet set;
  std::set<std::size_t> keys;
  for (int i = 0; i < 100; ++i) {
    keys.insert(set.add(hamgam::on_recv(ch)));
  }
  std::mt19937_64 random(hamgam::test::seed());
  while (!keys.empty()) {
    auto const doomed =
        std::next(keys.begin(), static_cast<std::ptrdiff_t>(random() % keys.size()));
    set.remove(*doomed);
    set.remove(*doomed);  // ignored
    keys.erase(doomed);
    EXPECT_EQ(set.size(), keys.size());
    if (!keys.empty() && random() % 4 == 0) {
      ch.send(1);
      EXPECT_TRUE(keys.contains(set.wait()));
    }
    if (random() % 8 == 0) {
      hamgam::SelectSet other(std::move(set));
      EXPECT_EQ(set.size(), 0U);  // NOLINT(bugprone-use-after-move): empty, as said
      set = std::move(other);
    }
  }
  EXPECT_FALSE(set.wait_for(1us));
}

// What a case owned may use the set, which has done with the case.
TEST(SelectSet, ACaseThatGoesRemovesAnother) {
  hamgam::SelectSet set;
  std::size_t const first = set.add(hamgam::on_timeout(1h));
  auto owned = std::shared_ptr<int>(new int(0), [&](const int* i) {
    set.remove(first);
    delete i;
  });
  std::size_t const second = set.add(hamgam::on_timeout(1h, [owned] { (void)owned; }));
  owned.reset();
  set.remove(second);
  EXPECT_EQ(set.size(), 0U);
}

}  // namespace
