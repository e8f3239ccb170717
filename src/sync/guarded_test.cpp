// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/guarded.h"

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <shared_mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/asleep.h"
#include "support/crew.h"

namespace hamgam {
namespace {

using namespace std::chrono_literals;
using test::Crew;
using test::Who;

using Words = Guarded<std::map<std::string, int>>;

static_assert(!std::is_copy_constructible_v<Words> && !std::is_move_constructible_v<Words>);
static_assert(!std::is_copy_constructible_v<Words::Locked>);
static_assert(std::is_nothrow_move_constructible_v<Words::Locked>);
static_assert(std::is_nothrow_move_assignable_v<Words::Locked>);
static_assert(!std::is_convertible_v<int, Guarded<int>>);

class GuardedTest : public testing::TestWithParam<Who> {};

INSTANTIATE_TEST_SUITE_P(, GuardedTest, test::everybody(), test::name_of);

TEST_P(GuardedTest, smoke) {
  Words words;
  Crew crew(GetParam());
  for (int i = 0; i < 4; ++i) {
    crew.start([&] {
      for (int round = 0; round < 250; ++round) {
        if (round % 2 == 0) {
          ++(*words.lock())["word"];
        } else {
          words.with([](auto& map) { ++map["word"]; });
        }
      }
    });
  }
  crew.join();
  EXPECT_EQ(words.lock()->at("word"), 1000);
}

TEST_P(GuardedTest, try) {
  Guarded<int> value(5);
  Crew crew(GetParam());
  {
    auto locked = value.lock();
    for (int i = 0; i < 2; ++i) {
      crew.start([&] { EXPECT_EQ(value.try_lock(), std::nullopt); });
    }
    crew.join();
  }
  auto locked = value.try_lock();
  ASSERT_TRUE(locked.has_value());
  EXPECT_EQ(**locked, 5);
  EXPECT_FALSE(value.try_lock().has_value());
  locked.reset();
  EXPECT_TRUE(value.try_lock().has_value());
  EXPECT_TRUE(value.try_lock().has_value());  // the one above was a temporary
}

TEST_P(GuardedTest, timeout) {
  Guarded<int> value(5);
  Crew crew(GetParam());
  auto locked = std::make_optional(value.lock());
  for (int i = 0; i < 2; ++i) {
    crew.start([&] {
      EXPECT_FALSE(value.try_lock_for(1ms).has_value());
      EXPECT_FALSE(value.try_lock_until(std::chrono::steady_clock::now() + 1ms).has_value());
      EXPECT_FALSE(value.try_lock_until(std::chrono::system_clock::now() + 1ms).has_value());
    });
  }
  crew.join();
  for (int i = 0; i < 2; ++i) {
    crew.start([&] {
      auto mine = value.try_lock_for(1h);
      ASSERT_TRUE(mine.has_value());
      ++**mine;
    });
  }
  test::await_asleep(&value, 2);  // the mutex is the first member
  locked.reset();
  crew.join();
  EXPECT_EQ(*value.lock(), 7);
}

TEST_P(GuardedTest, stop) {
  Guarded<int> value;
  std::stop_source source;
  Crew crew(GetParam());
  {
    auto locked = value.lock();
    for (int i = 0; i < 2; ++i) {
      crew.start([&] { EXPECT_FALSE(value.try_lock(source.get_token()).has_value()); });
    }
    test::await_asleep(&value, 2);
    source.request_stop();
    crew.join();
  }
  EXPECT_TRUE(value.try_lock(source.get_token()).has_value());
}

TEST(Guarded, builds_in_place) {
  struct Pinned {
    Pinned(int a, std::unique_ptr<int> b) : sum(a + *b) {}
    Pinned(const Pinned&) = delete;
    Pinned& operator=(const Pinned&) = delete;
    int sum;
  };
  Guarded<Pinned> pinned(1, std::make_unique<int>(2));
  EXPECT_EQ(pinned.lock()->sum, 3);
  Guarded<std::vector<int>> three(3U, 7);
  EXPECT_EQ(three.lock()->size(), 3U);
  Guarded<int> zero;
  EXPECT_EQ(*zero.lock(), 0);
}

TEST(Guarded, Locked_moves) {
  Guarded<int> value(1);
  auto first = value.lock();
  auto second = std::move(first);
  EXPECT_FALSE(value.try_lock().has_value());
  {
    auto third = std::move(second);
    third.get() = 2;
  }
  EXPECT_TRUE(value.try_lock().has_value());  // and the emptied ones unlock nothing

  Guarded<int> other(10);
  auto locked = value.lock();
  locked = other.lock();  // gives the former up
  EXPECT_TRUE(value.try_lock().has_value());
  EXPECT_FALSE(other.try_lock().has_value());
  EXPECT_EQ(*locked, 10);
  auto& self = locked;
  locked = std::move(self);
  EXPECT_FALSE(other.try_lock().has_value());
  locked.unlock();

  auto made = [&value] { return value.lock(); };
  auto passed = [](Guarded<int>::Locked taken) { *taken += 5; };
  passed(made());
  EXPECT_EQ(*value.lock(), 7);
}

TEST(Guarded, Locked_is_lockable) {
  Guarded<int> value(1);
  auto locked = value.lock();
  locked.unlock();
  EXPECT_TRUE(value.try_lock().has_value());
  locked.lock();
  EXPECT_FALSE(value.try_lock().has_value());
  {
    locked.unlock();
    std::lock_guard const again(locked);
    EXPECT_FALSE(value.try_lock().has_value());
  }
  // Not held now: its destructor must not unlock a second time.
}

TEST(Guarded, range_for_holds_the_lock) {
  Guarded<std::vector<int>> numbers(std::vector<int>{1, 2, 3});
  int sum = 0;
  for (int& number : numbers.lock()) {
    EXPECT_FALSE(numbers.try_lock().has_value());
    sum += number++;
  }
  EXPECT_EQ(sum, 6);
  auto locked = numbers.lock();
  EXPECT_EQ(std::accumulate(locked.begin(), locked.end(), 0), 9);
}

TEST(Guarded, with_returns_what_f_returns) {
  Guarded<std::string> text("abc");
  static_assert(
      std::is_same_v<decltype(text.with([](std::string& s) { return s.size(); })), std::size_t>);
  static_assert(std::is_void_v<decltype(text.with([](std::string&) {}))>);
  EXPECT_EQ(text.with([](std::string& s) { return s += 'd'; }), "abcd");
  EXPECT_EQ(text.with(&std::string::size), 4U);
  EXPECT_THROW(text.with([](std::string&) { throw 5; }), int);
  EXPECT_TRUE(text.try_lock().has_value());  // unlocked by the exception
}

TEST(Guarded, shared) {
  Guarded<std::vector<int>, std::shared_mutex> numbers(std::vector<int>{1, 2, 3});
  const auto& view = numbers;
  static_assert(std::is_same_v<decltype(*view.lock_shared()), const std::vector<int>&>);
  {
    auto one = view.lock_shared();
    std::thread([&] {
      auto two = view.lock_shared();
      EXPECT_EQ(two->size(), 3U);
      EXPECT_FALSE(numbers.try_lock().has_value());
    }).join();
    EXPECT_EQ(one->front(), 1);
  }
  EXPECT_EQ(view.with_shared([](const std::vector<int>& v) { return v.back(); }), 3);
  EXPECT_TRUE(numbers.try_lock().has_value());
  int sum = 0;
  for (const int& number : view.lock_shared()) {
    sum += number;
  }
  EXPECT_EQ(sum, 6);
}

template <class G>
concept CanBeShared = requires(const G& g) { g.lock_shared(); };
static_assert(!CanBeShared<Guarded<int>>);
static_assert(CanBeShared<Guarded<int, std::shared_mutex>>);

}  // namespace
}  // namespace hamgam
