// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/once.h"

#include <gtest/gtest.h>

#include <any>
#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>

#include "hamgam/panic.h"
#include "hamgam/waitgroup.h"
#include "support/allocations.h"
#include "support/asleep.h"
#include "support/crew.h"

namespace {

using hamgam::Once;
using hamgam::once_func;
using hamgam::once_value;
using hamgam::test::await_asleep;
using hamgam::test::Crew;
using hamgam::test::Who;

static_assert(sizeof(Once) == 8);
static_assert(!std::is_copy_constructible_v<Once>);
constinit Once g_static;

using hamgam::test::allocations;

class OnceOf : public testing::TestWithParam<Who> {};
INSTANTIATE_TEST_SUITE_P(Kinds, OnceOf, hamgam::test::everybody(), hamgam::test::name_of);

TEST(Once, smoke) {
  int calls = 0;
  EXPECT_FALSE(g_static.done());
  g_static.call([&](int n) { calls += n; }, 2);
  g_static.call([&](int n) { calls += n; }, 3);
  EXPECT_TRUE(g_static.done());
  EXPECT_EQ(calls, 2);
}

TEST_P(OnceOf, ON1_one_call_that_all_see) {
  for (int round = 0; round < 100; ++round) {
    Once once;
    int calls = 0;  // plain: the edge is the Once's
    Crew crew(GetParam());
    for (int i = 0; i < 10; ++i) {
      crew.start([&] {
        once.call([&] {
          hamgam::yield();
          ++calls;
        });
        EXPECT_EQ(calls, 1);
      });
    }
  }
}

TEST_P(OnceOf, late_callers_sleep) {
  Once once;
  std::atomic<bool> go_on{false};
  std::atomic<int> after{0};
  std::atomic<bool> began{false};
  Crew crew(GetParam());
  crew.start([&] {
    once.call([&] {
      began = true;
      hamgam::test::until([&] { return go_on.load(); });
    });
  });
  hamgam::test::until([&] { return began.load(); });
  for (int i = 0; i < 4; ++i) {
    crew.start([&] {
      once.call([] { FAIL(); });
      ++after;
    });
  }
  await_asleep(&once, 4);
  EXPECT_EQ(after, 0);
  go_on = true;
  crew.join();
  EXPECT_EQ(after, 4);
}

// ON2, the C++ way: a call that throws was none (the regression of gcc 66146).
TEST_P(OnceOf, ON2_exception_lets_the_next_try) {
  Once once;
  std::atomic<int> calls{0};
  std::atomic<int> thrown{0};
  std::atomic<int> returned{0};
  Crew crew(GetParam());
  for (int i = 0; i < 8; ++i) {
    crew.start([&] {
      try {
        once.call([&] {
          hamgam::yield();
          if (++calls < 4) {
            throw std::runtime_error("again");
          }
        });
        ++returned;
      } catch (const std::runtime_error&) {
        ++thrown;
      }
    });
  }
  crew.join();
  EXPECT_EQ(calls, 4);
  EXPECT_EQ(thrown, 3);
  EXPECT_EQ(returned, 5);
}

// One is enough to try again. (All were woken, and all but one slept again: of 50,000 callers who
// threw, each woke the others.)
TEST_P(OnceOf, an_exception_wakes_one) {
  constexpr int kCallers = 8;
  Once once;
  int calls = 0;  // plain: the edge is the Once's
  Crew crew(GetParam());
  for (int i = 0; i < kCallers; ++i) {
    crew.start([&] {
      try {
        once.call([&] {
          int const others = kCallers - ++calls;
          if (calls == 1) {
            await_asleep(&once, others);
          }
          EXPECT_EQ(hamgam::test::count_asleep(&once), others);
          throw std::runtime_error("again");
        });
      } catch (const std::runtime_error&) {
      }
    });
  }
  crew.join();
  EXPECT_EQ(calls, kCallers);
  EXPECT_FALSE(once.done());
  once.call([&] { ++calls; });
  EXPECT_TRUE(once.done());
}

TEST(Once, ON5_goexit_counts_as_done) {
  Once once;
  std::atomic<int> calls{0};
  hamgam::WaitGroup group;
  for (int i = 0; i < 4; ++i) {
    group.go([&] {
      once.call([&] {
        ++calls;
        hamgam::goexit();
      });
    });
  }
  group.wait();
  EXPECT_TRUE(once.done());
  EXPECT_EQ(calls, 1);
}

TEST(Once, calls_of_different_onces_nest) {
  Once a;
  Once b;
  int calls = 0;
  a.call([&] { b.call([&] { ++calls; }); });
  EXPECT_EQ(calls, 1);
  EXPECT_TRUE(a.done() && b.done());
}

TEST_P(OnceOf, destroyed_once_all_calls_returned) {
  for (int i = 0; i < 300; ++i) {
    auto once = std::make_unique<Once>();
    Crew crew(GetParam());
    for (int j = 0; j < 3; ++j) {
      crew.start([raw = once.get()] { raw->call([] { hamgam::yield(); }); });
    }
    crew.join();
    once.reset();
  }
}

TEST(OnceFunc, ON3_one_call_no_allocation) {
  int calls = 0;
  const std::size_t before = allocations();
  auto f = once_func([&] { ++calls; });
  EXPECT_LE(allocations() - before, 2U);
  f();
  auto const copy = f;
  const std::size_t made = allocations();
  for (int i = 0; i < 100; ++i) {
    f();
    copy();
  }
  EXPECT_EQ(allocations(), made);
  EXPECT_EQ(calls, 1);
}

TEST(OnceValue, one_value_for_all_copies) {
  int calls = 0;
  auto value = once_value([&] { return std::string("value") + std::to_string(++calls); });
  auto const copy = value;
  const std::string& first = value();
  EXPECT_EQ(first, "value1");
  EXPECT_EQ(&copy(), &first);
  EXPECT_EQ(calls, 1);
}

TEST(OnceValue, result_need_not_move) {
  struct Fixed {
    explicit Fixed(int n) : number(n) {}
    Fixed(const Fixed&) = delete;
    int number;
  };
  auto value = once_value([] { return Fixed(7); });
  EXPECT_EQ(value().number, 7);
}

// Can be made of anything, and is to be made of what the function says.
struct Greedy {
  explicit Greedy(int n) : number(n) {}
  template <class T>
  explicit Greedy(T&& /*other*/) : number(-1) {}
  int number;
};

TEST(OnceValue, result_that_takes_everything) {
  auto value = once_value([] { return Greedy(7); });
  EXPECT_EQ(value().number, 7);
  auto any = once_value([] { return std::any(8); });
  EXPECT_EQ(std::any_cast<int>(any()), 8);
}

TEST_P(OnceOf, value_from_many) {
  auto value = once_value([] {
    hamgam::yield();
    return 42;
  });
  Crew crew(GetParam());
  for (int i = 0; i < 8; ++i) {
    crew.start([&] { EXPECT_EQ(value(), 42); });
  }
}

TEST(OnceFunc, ON4_exception_is_kept) {
  int calls = 0;
  auto f = once_func([&] {
    ++calls;
    throw std::runtime_error("broken");
  });
  auto value = once_value([&]() -> int {
    ++calls;
    throw std::runtime_error("no value");
  });
  for (int i = 0; i < 3; ++i) {
    try {
      f();
      FAIL();
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "broken");
    }
    EXPECT_THROW((void)value(), std::runtime_error);
  }
  EXPECT_EQ(calls, 2);
}

// ON5 for the wrapped forms: f is not called twice, and who comes later is told.
TEST(OnceFunc, ON5_after_goexit_a_panic) {
  std::atomic<int> calls{0};
  auto value = once_value([&]() -> int {
    ++calls;
    hamgam::goexit();
  });
  hamgam::WaitGroup group;
  group.go([&] { (void)value(); });
  group.wait();
  EXPECT_THROW((void)value(), hamgam::Panic);
  EXPECT_EQ(calls, 1);
}

TEST(OnceFunc, ON7_what_it_held_is_released_after_the_call) {
  auto held = std::make_shared<int>(1);
  const std::weak_ptr<int> watch = held;
  auto f = once_func([held = std::move(held)] {});
  EXPECT_FALSE(watch.expired());
  f();
  EXPECT_TRUE(watch.expired());

  auto other = std::make_shared<int>(1);
  const std::weak_ptr<int> watch_other = other;
  auto thrower = once_func([other = std::move(other)] { throw std::runtime_error("x"); });
  EXPECT_THROW(thrower(), std::runtime_error);
  EXPECT_TRUE(watch_other.expired());
}

// The callable is a part of what f destroys.
TEST(OnceFunc, destroyed_by_its_own_function) {
  for (bool const throws : {false, true}) {
    std::unique_ptr<std::function<void()>> owner;
    owner = std::make_unique<std::function<void()>>(once_func([&owner, throws] {
      owner.reset();
      if (throws) {
        throw std::runtime_error("x");
      }
    }));
    if (throws) {
      EXPECT_THROW((*owner)(), std::runtime_error);
    } else {
      (*owner)();
    }
    EXPECT_EQ(owner, nullptr);
  }
}

}  // namespace
