// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>

#include <thread>

#include "hamgam/hamgam.h"
#include "support/child.h"

namespace hamgam {
namespace {

using test::in_child;

constexpr const char* kUnlocked = "fatal error: sync: unlock of unlocked mutex\n";

// MU3
TEST(MisuseMutex, unlock_of_unlocked) {
  auto child = in_child([] {
    Mutex mutex;
    mutex.unlock();
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins(kUnlocked)) << child.error;
}

TEST(MisuseMutex, unlock_of_unlocked_by_a_thread_beside_goroutines) {
  auto child = in_child([] {
    (void)run([] {});
    Mutex mutex;
    mutex.unlock();
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins(kUnlocked) && child.says("mutex\n\nthread [running]:\n")) << child.error;
}

TEST(MisuseMutex, MU3_unlocked_twice) {
  auto child = in_child([] {
    Mutex mutex;
    mutex.lock();
    mutex.unlock();
    mutex.unlock();
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins(kUnlocked)) << child.error;
}

// No catch helps.
TEST(MisuseMutex, MU3_inside_a_catch_of_a_goroutine) {
  auto child = in_child([] {
    run([] {
      try {
        Mutex mutex;
        mutex.unlock();
      } catch (...) {
        std::exit(3);
      }
    });
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins(kUnlocked)) << child.error;
  EXPECT_TRUE(child.says("\ngoroutine 1 [running]:\n")) << child.error;
}

// After it was contended: the state then differs from a fresh one's.
TEST(MisuseMutex, MU3_unlocked_twice_after_contention) {
  auto child = in_child([] {
    Mutex mutex;
    mutex.lock();
    std::thread other([&] { LockGuard const guard(mutex); });
    std::this_thread::yield();
    mutex.unlock();
    other.join();
    mutex.unlock();
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins(kUnlocked)) << child.error;
}

}  // namespace
}  // namespace hamgam
