// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Once, Cond and Semaphore.
#include <gtest/gtest.h>

#include "hamgam/hamgam.h"
#include "support/child.h"

namespace hamgam {
namespace {

using test::in_child;

constexpr const char* kRecursion =
    "fatal error: sync: Once.call called from inside its own function\n";

TEST(MisuseOnce, called_from_inside_itself_on_a_thread) {
  auto child = in_child([] {
    Once once;
    once.call([&] { once.call([] {}); });
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins(kRecursion)) << child.error;
}

TEST(MisuseOnce, called_from_inside_itself_in_a_goroutine) {
  auto child = in_child([] {
    (void)run([] {
      Once once;
      once.call([&] {
        yield();  // by whatever worker it goes on
        once.call([] {});
      });
    });
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins(kRecursion)) << child.error;
}

TEST(MisuseOnce, once_value_that_asks_for_itself) {
  auto child = in_child([] {
    std::function<int()> ask;
    auto value = once_value([&] { return ask(); });
    ask = [&] { return value(); };
    (void)value();
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins(kRecursion)) << child.error;
}

TEST(MisuseSemaphore, SE2_uncaught) {
  auto child = in_child([] {
    (void)run([] {
      go([] { Semaphore(1).release(); });
      Semaphore(0).acquire();
    });
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins("panic: semaphore: released more than held\n")) << child.error;
}

TEST(MisuseCond, lock_that_is_not_held) {
  Mutex mutex;
  Cond cond;
  std::unique_lock lock(mutex, std::defer_lock);
  EXPECT_THROW(cond.wait(lock), Panic);
  auto child = in_child([] {
    Mutex free;
    Cond other;
    other.wait(free);
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins("fatal error: sync: unlock of unlocked mutex\n")) << child.error;
}

}  // namespace
}  // namespace hamgam
