// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/waitgroup.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <climits>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <type_traits>

#include "hamgam/mutex.h"
#include "support/asleep.h"
#include "support/crew.h"

namespace hamgam {
namespace {

using namespace std::chrono_literals;
using test::Crew;
using test::Who;

static_assert(!std::is_copy_constructible_v<WaitGroup> && !std::is_move_constructible_v<WaitGroup>);
static_assert(std::is_nothrow_default_constructible_v<WaitGroup>);
static_assert(sizeof(WaitGroup) == 8);
[[maybe_unused]] constinit WaitGroup g_can_be_a_global;

class WaitGroupTest : public testing::TestWithParam<Who> {
 protected:
  static std::string text_of_panic(const std::function<void()>& f) {
    try {
      f();
    } catch (const Panic& panic) {
      return panic.what();
    }
    return "no panic";
  }

  WaitGroup group_;
};

INSTANTIATE_TEST_SUITE_P(, WaitGroupTest, test::everybody(), test::name_of);

TEST_P(WaitGroupTest, smoke) {
  int results[4] = {};
  std::atomic<int> seen{0};
  Crew crew(GetParam());
  group_.add(4);
  for (int i = 0; i < 2; ++i) {
    crew.start([&] {
      group_.wait();
      seen += results[0] + results[1] + results[2] + results[3];
    });
  }
  for (int i = 0; i < 4; ++i) {
    crew.start([&, i] {
      results[i] = i + 1;
      group_.done();
    });
  }
  crew.join();
  EXPECT_EQ(seen.load(), 20);
}

TEST_P(WaitGroupTest, wait_of_zero_returns_at_once) {
  Crew crew(GetParam());
  for (int i = 0; i < 2; ++i) {
    crew.start([&] {
      std::stop_source source;
      source.request_stop();
      group_.wait();
      EXPECT_TRUE(group_.wait_for(-1s));
      EXPECT_TRUE(group_.wait_until(std::chrono::system_clock::time_point::min()));
      EXPECT_TRUE(group_.wait(source.get_token()));
    });
  }
}

// WG2; and the counter is as before.
TEST_P(WaitGroupTest, misuse_negative_counter) {
  Crew crew(GetParam());
  for (int i = 0; i < 2; ++i) {
    crew.start([] {
      WaitGroup group;
      EXPECT_EQ(text_of_panic([&] { group.done(); }), "sync: negative WaitGroup counter");
      group.wait();
      group.add(3);
      EXPECT_EQ(text_of_panic([&] { group.add(-4); }), "sync: negative WaitGroup counter");
      EXPECT_EQ(text_of_panic([&] { group.add(INT_MIN); }), "sync: negative WaitGroup counter");
      EXPECT_FALSE(group.wait_for(1us));
      group.add(-3);
      group.wait();
    });
  }
}

TEST_P(WaitGroupTest, misuse_negative_counter_beside_a_waiter) {
  group_.add(1);
  Crew crew(GetParam());
  crew.start([&] { group_.wait(); });
  test::await_asleep(&group_, 1);
  crew.start([&] {
    EXPECT_EQ(text_of_panic([this] { group_.add(-2); }), "sync: negative WaitGroup counter");
    EXPECT_EQ(test::count_asleep(&group_), 1);
    group_.done();
  });
}

// More than the counter holds comes out negative, as in Go.
TEST_P(WaitGroupTest, misuse_counter_overflow) {
  group_.add(INT_MAX);
  EXPECT_EQ(text_of_panic([this] { group_.add(1); }), "sync: negative WaitGroup counter");
  EXPECT_EQ(text_of_panic([this] { group_.add(INT_MAX); }), "sync: negative WaitGroup counter");
  group_.add(-INT_MAX);
  group_.wait();
}

TEST_P(WaitGroupTest, add_zero) {
  group_.add(0);
  group_.wait();
  group_.add(1);
  group_.add(0);
  Crew crew(GetParam());
  crew.start([&] { group_.wait(); });
  test::await_asleep(&group_, 1);
  group_.add(0);  // beside a waiter
  EXPECT_EQ(test::count_asleep(&group_), 1);
  group_.done();
}

TEST_P(WaitGroupTest, timeout) {
  group_.add(1);
  Crew crew(GetParam());
  for (int i = 0; i < 2; ++i) {
    crew.start([&] {
      auto const start = std::chrono::steady_clock::now();
      EXPECT_FALSE(group_.wait_for(3ms));
      EXPECT_GE(std::chrono::steady_clock::now() - start, 3ms);
      EXPECT_FALSE(group_.wait_until(std::chrono::system_clock::now() + 1ms));
      EXPECT_FALSE(group_.wait_for(0s));
      EXPECT_FALSE(group_.wait_until(std::chrono::steady_clock::time_point::min()));
    });
  }
  crew.join();
  EXPECT_EQ(test::count_asleep(&group_), 0);
  for (int i = 0; i < 2; ++i) {
    crew.start([&] { EXPECT_TRUE(group_.wait_for(std::chrono::hours::max())); });
  }
  test::await_asleep(&group_, 2);
  group_.done();
}

TEST_P(WaitGroupTest, stop) {
  group_.add(1);
  std::stop_source source;
  Crew crew(GetParam());
  for (int i = 0; i < 3; ++i) {
    crew.start([&] { EXPECT_FALSE(group_.wait(source.get_token())); });
  }
  Crew other(GetParam());
  other.start([&] { EXPECT_TRUE(group_.wait(std::stop_token())); });
  test::await_asleep(&group_, 4);
  source.request_stop();
  crew.join();
  EXPECT_EQ(test::count_asleep(&group_), 1);
  crew.start([&] { EXPECT_FALSE(group_.wait(source.get_token())); });
  crew.join();
  group_.done();
}

TEST_P(WaitGroupTest, go) {
  int sum = 0;
  Mutex mutex;
  auto add = [&](int a, int& b, std::unique_ptr<int> c) {
    LockGuard const guard(mutex);
    sum += a + b + *c;
  };
  int ten = 10;
  Crew crew(GetParam());
  for (int i = 0; i < 2; ++i) {
    crew.start([&] {
      group_.go(add, 1, std::ref(ten), std::make_unique<int>(100));
      group_.go(GoOptions{.name = "named", .stack_size = 100000}, add, 2, std::ref(ten),
                std::make_unique<int>(200));
    });
  }
  crew.join();
  group_.wait();
  EXPECT_EQ(sum, 646);
}

TEST_P(WaitGroupTest, go_counts_down_on_goexit) {
  bool destroyed = false;
  struct Guard {
    bool& flag;
    ~Guard() { flag = true; }
  };
  group_.go([&] {
    Guard const guard{destroyed};
    goexit();
  });
  group_.wait();
  EXPECT_TRUE(destroyed);
}

// Nothing is counted if the goroutine could not be started.
TEST(WaitGroup, go_that_throws) {
  struct Thrower {
    Thrower() = default;
    Thrower(const Thrower&) { throw 5; }
    void operator()() const {}
  };
  WaitGroup group;
  Thrower const thrower;
  EXPECT_THROW(group.go(thrower), int);
  group.wait();
}

// The closure is gone, with all it held, before wait returns.
TEST(WaitGroup, go_destroys_its_closure_first) {
  for (int i = 0; i < 1000; ++i) {
    auto shared = std::make_shared<int>(i);
    WaitGroup group;
    for (int j = 0; j < 3; ++j) {
      group.go([shared] { EXPECT_NE(shared, nullptr); });
    }
    group.wait();
    ASSERT_EQ(shared.use_count(), 1);
  }
}

// WG4: anywhere in a struct.
TEST(WaitGroup, WG4_in_a_struct) {
  struct {
    char before = 1;
    WaitGroup group;
    char after = 2;
  } s;
  s.group.add(1);
  WaitGroup other;
  other.go([&] { s.group.done(); });
  s.group.wait();
  other.wait();
  EXPECT_EQ(s.before, 1);
  EXPECT_EQ(s.after, 2);
}

}  // namespace
}  // namespace hamgam
