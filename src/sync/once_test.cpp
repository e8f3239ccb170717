// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/once.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>

#include "actors.h"
#include "hamgam/panic.h"
#include "hamgam/waitgroup.h"

namespace {

using hamgam::Once;
using hamgam::once_func;
using hamgam::once_value;
using hamgam_test::Actors;
using hamgam_test::Kind;
using hamgam_test::until_parked;

static_assert(sizeof(Once) == 8);
static_assert(!std::is_copy_constructible_v<Once>);
constinit Once g_static;

thread_local std::size_t t_allocations = 0;

class OnceOf : public testing::TestWithParam<Kind> {};
INSTANTIATE_TEST_SUITE_P(Kinds, OnceOf, hamgam_test::all_kinds(), hamgam_test::kind_name);

TEST(Once, Smoke) {
  int calls = 0;
  EXPECT_FALSE(g_static.done());
  g_static.call([&](int n) { calls += n; }, 2);
  g_static.call([&](int n) { calls += n; }, 3);
  EXPECT_TRUE(g_static.done());
  EXPECT_EQ(calls, 2);
}

// ON1
TEST_P(OnceOf, OneCallThatAllSee) {
  for (int round = 0; round < 100; ++round) {
    Once once;
    int calls = 0;  // plain: the edge is the Once's
    Actors actors(GetParam());
    for (int i = 0; i < 10; ++i) {
      actors.start([&] {
        once.call([&] {
          hamgam::yield();
          ++calls;
        });
        EXPECT_EQ(calls, 1);
      });
    }
  }
}

TEST_P(OnceOf, LateCallersSleep) {
  Once once;
  std::atomic<bool> go_on{false};
  std::atomic<int> after{0};
  Actors actors(GetParam());
  std::atomic<bool> began{false};
  actors.start([&] {
    once.call([&] {
      began = true;
      hamgam_test::until([&] { return go_on.load(); });
    });
  });
  hamgam_test::until([&] { return began.load(); });
  for (int i = 0; i < 4; ++i) {
    actors.start([&] {
      once.call([] { FAIL(); });
      ++after;
    });
  }
  until_parked(&once, 4);
  EXPECT_EQ(after, 0);
  go_on = true;
  actors.join();
  EXPECT_EQ(after, 4);
}

// ON2, the C++ way: a call that throws was none (the regression of gcc 66146).
TEST_P(OnceOf, ExceptionLetsTheNextTry) {
  Once once;
  std::atomic<int> calls{0};
  std::atomic<int> thrown{0};
  std::atomic<int> returned{0};
  Actors actors(GetParam());
  for (int i = 0; i < 8; ++i) {
    actors.start([&] {
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
  actors.join();
  EXPECT_EQ(calls, 4);
  EXPECT_EQ(thrown, 3);
  EXPECT_EQ(returned, 5);
}

// ON5
TEST(Once, GoexitCountsAsDone) {
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

TEST(Once, CallsOfDifferentOncesNest) {
  Once a;
  Once b;
  int calls = 0;
  a.call([&] { b.call([&] { ++calls; }); });
  EXPECT_EQ(calls, 1);
  EXPECT_TRUE(a.done() && b.done());
}

TEST_P(OnceOf, DestroyedOnceAllCallsReturned) {
  for (int i = 0; i < 300; ++i) {
    auto once = std::make_unique<Once>();
    Actors actors(GetParam());
    for (int j = 0; j < 3; ++j) {
      actors.start([raw = once.get()] { raw->call([] { hamgam::yield(); }); });
    }
    actors.join();
    once.reset();
  }
}

// ON3
TEST(OnceFunc, OneCallNoAllocation) {
  int calls = 0;
  const std::size_t before = t_allocations;
  auto f = once_func([&] { ++calls; });
  EXPECT_LE(t_allocations - before, 2U);
  f();
  auto const copy = f;
  const std::size_t made = t_allocations;
  for (int i = 0; i < 100; ++i) {
    f();
    copy();
  }
  EXPECT_EQ(t_allocations, made);
  EXPECT_EQ(calls, 1);
}

TEST(OnceValue, OneValueForAllCopies) {
  int calls = 0;
  auto value = once_value([&] { return std::string("value") + std::to_string(++calls); });
  auto const copy = value;
  const std::string& first = value();
  EXPECT_EQ(first, "value1");
  EXPECT_EQ(&copy(), &first);
  EXPECT_EQ(calls, 1);
}

TEST(OnceValue, ResultNeedNotMove) {
  struct Fixed {
    explicit Fixed(int n) : number(n) {}
    Fixed(const Fixed&) = delete;
    int number;
  };
  auto value = once_value([] { return Fixed(7); });
  EXPECT_EQ(value().number, 7);
}

TEST_P(OnceOf, ValueFromMany) {
  auto value = once_value([] {
    hamgam::yield();
    return 42;
  });
  Actors actors(GetParam());
  for (int i = 0; i < 8; ++i) {
    actors.start([&] { EXPECT_EQ(value(), 42); });
  }
}

// ON4
TEST(OnceFunc, ExceptionIsKept) {
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
TEST(OnceFunc, AfterGoexitAPanic) {
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

// ON7
TEST(OnceFunc, WhatItHeldIsReleasedAfterTheCall) {
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

}  // namespace

// Counts, per thread, what ON3 limits.
void* operator new(std::size_t size) {
  ++t_allocations;
  if (void* memory = std::malloc(size)) {
    return memory;
  }
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
