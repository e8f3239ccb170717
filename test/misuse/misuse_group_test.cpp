// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Tasks, groups, Once and timers misused: exceptions that nobody took end the process.

#include <gtest/gtest.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include "hamgam/errgroup.h"
#include "hamgam/go.h"
#include "hamgam/once.h"
#include "hamgam/spawn.h"
#include "hamgam/time.h"
#include "support/child.h"

// Where the exceptions below are thrown: panics show it, however far from there they end. A name
// that is found in a program which exports its symbols.
extern "C" __attribute__((noinline, visibility("default"))) void fail_deep_inside(const char* why) {
  throw std::runtime_error(why);
}

namespace {

using hamgam::test::in_child;

bool shows_the_throw([[maybe_unused]] const hamgam::test::Child& child) {
#if HAMGAM_THROW_TRACES
  auto const at = child.error.find("\nthrown by goroutine ");
  return at != std::string::npos && child.error.find("fail_deep_inside", at) != std::string::npos;
#else
  return true;
#endif
}

TEST(TaskMisuse, exception_that_nobody_took) {
  auto child = in_child([] {
    hamgam::run([] { auto const task = hamgam::spawn([] { fail_deep_inside("nobody looks"); }); });
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins("panic: nobody looks\n")) << child.error;
  EXPECT_TRUE(child.says("goroutine 1 [running]:")) << child.error;
  EXPECT_TRUE(shows_the_throw(child)) << child.error;
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

// However a Task goes, and whoever lets it go.
TEST(TaskMisuse, exception_dies_with_its_task) {
  auto const dies = [](auto drop) {
    return in_child([drop] {
      hamgam::run([drop] {
        auto task = hamgam::spawn([]() -> int {
          fail_deep_inside("nobody looks");
          return 1;
        });
        drop(task);
        hamgam::sleep(std::chrono::minutes(1));
      });
    });
  };
  using Task = hamgam::Task<int>;
  for (auto const& child :
       {dies([](Task& task) { task = {}; }),
        dies([](Task& task) { Task const other = std::move(task); }),
        dies([](Task& task) { hamgam::go([mine = std::move(task)] {}); }),
        dies([](Task& task) { hamgam::spawn([mine = std::move(task)] {}).wait(); })}) {
    EXPECT_TRUE(child.aborted());
    EXPECT_TRUE(child.begins("panic: nobody looks\n")) << child.error;
    EXPECT_TRUE(child.says(" [running]:")) << child.error;
    EXPECT_TRUE(shows_the_throw(child)) << child.error;
  }
}

TEST(ErrGroupMisuse, exception_that_nobody_took) {
  auto child = in_child([] {
    hamgam::run([] {
      hamgam::ErrGroup group;
      group.go([] { fail_deep_inside("part failed"); });
    });
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins("panic: part failed\n")) << child.error;
  EXPECT_TRUE(shows_the_throw(child)) << child.error;
}

TEST(ErrGroupMisuse, error_code_that_nobody_took) {
  auto child = in_child([] {
    hamgam::ErrGroup group;
    group.go([] { return std::make_error_code(std::errc::io_error); });
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins("panic: " + std::make_error_code(std::errc::io_error).message() + "\n"))
      << child.error;
}

// That a wait took one makes no difference to the next group, nor what came after it to this one.
TEST(ErrGroupMisuse, a_wait_takes_all_that_failed) {
  auto child = in_child([] {
    hamgam::ErrGroup group;
    group.go([] { throw std::runtime_error("taken"); });
    EXPECT_THROW(group.wait(), std::runtime_error);
    group.go([] { throw std::runtime_error("dropped, as all but the first are"); });
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
}

// Taken in one goroutine and thrown again there, it ends the process in that one.
TEST(ErrGroupMisuse, exception_that_was_taken_and_not_caught) {
  auto child = in_child([] {
    hamgam::run([] {
      hamgam::go([] {
        hamgam::ErrGroup group;
        group.go([] { fail_deep_inside("part failed"); });
        group.wait();
      });
      hamgam::sleep(std::chrono::minutes(1));
    });
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins("panic: part failed\n")) << child.error;
  EXPECT_TRUE(shows_the_throw(child)) << child.error;
}

// Thrown again on its way, it still shows where it was thrown first.
TEST(TaskMisuse, exception_that_comes_a_long_way) {
  auto child = in_child([] {
    hamgam::run([] {
      auto const task = hamgam::spawn([] { hamgam::once_func([] { fail_deep_inside("far"); })(); });
    });
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins("panic: far\n")) << child.error;
  EXPECT_TRUE(shows_the_throw(child)) << child.error;
}

// An exception that is thrown afresh has nothing to do with an earlier one, even in its memory.
TEST(TaskMisuse, another_exception_is_not_taken_for_the_former) {
  auto child = in_child([] {
    hamgam::run([] {
      hamgam::go([] {
        try {
          hamgam::spawn([] { fail_deep_inside("former"); }).get();
        } catch (const std::runtime_error&) {
        }
        throw std::runtime_error("another");
      });
      hamgam::sleep(std::chrono::minutes(1));
    });
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins("panic: another\n")) << child.error;
  EXPECT_FALSE(child.says("thrown by")) << child.error;
}

// ON6
TEST(OnceMisuse, panic_shows_the_function) {
  for (bool const kept : {false, true}) {
    auto child = in_child([kept] {
      hamgam::run([kept] {
        hamgam::go([kept] {
          if (kept) {
            hamgam::once_func([] { fail_deep_inside("once"); })();
          } else {
            hamgam::Once().call([] { fail_deep_inside("once"); });
          }
        });
        hamgam::sleep(std::chrono::minutes(1));
      });
    });
    EXPECT_TRUE(child.aborted());
    EXPECT_TRUE(child.begins("panic: once\n")) << child.error;
    EXPECT_TRUE(child.says("fail_deep_inside")) << child.error;
  }
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
