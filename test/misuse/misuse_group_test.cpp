// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Tasks, groups and timers misused: exceptions that nobody took end the process.

#include <gtest/gtest.h>

#include <chrono>
#include <stdexcept>

#include "hamgam/errgroup.h"
#include "hamgam/go.h"
#include "hamgam/spawn.h"
#include "hamgam/time.h"
#include "support/child.h"

namespace {

using hamgam::test::in_child;

TEST(TaskMisuse, exception_that_nobody_took) {
  auto child = in_child([] {
    hamgam::run(
        [] { auto const task = hamgam::spawn([] { throw std::runtime_error("nobody looks"); }); });
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins("panic: nobody looks\n")) << child.error;
  EXPECT_TRUE(child.says("goroutine 1 [running]:")) << child.error;
}

TEST(TaskMisuse, exception_that_no_thread_took) {
  auto child = in_child([] {
    auto task = hamgam::spawn([]() -> int { throw std::runtime_error("nobody looks"); });
    task.wait();
    task = hamgam::spawn([] { return 1; });
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins("panic: nobody looks\n")) << child.error;
}

TEST(ErrGroupMisuse, exception_that_nobody_took) {
  auto child = in_child([] {
    hamgam::run([] {
      hamgam::ErrGroup group;
      group.go([] { throw std::runtime_error("part failed"); });
    });
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins("panic: part failed\n")) << child.error;
}

// The null function is found before anything is started.
TEST(TaskMisuse, null_function) {
  auto child = in_child([] {
    void (*nothing)() = nullptr;
    (void)hamgam::spawn(nothing);
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins("fatal error: go of nil func value\n")) << child.error;
}

TEST(AfterFuncMisuse, exception_is_a_panic) {
  auto child = in_child([] {
    hamgam::run([] {
      (void)hamgam::after_func(std::chrono::milliseconds(1),
                               [] { throw std::runtime_error("in the timer's goroutine"); });
      hamgam::sleep(std::chrono::minutes(1));
    });
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins("panic: in the timer's goroutine\n")) << child.error;
}

}  // namespace
