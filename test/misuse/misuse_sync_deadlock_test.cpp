// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// What the report of a deadlock says of those that wait for an RWMutex, a Once, a Semaphore, a
// Cond.
#include <gtest/gtest.h>

#include "hamgam/hamgam.h"
#include "support/child.h"

namespace hamgam {
namespace {

using test::in_child;

// A writer that nobody lets in: the wait reasons in the report of the deadlock.
TEST(MisuseSyncDeadlock, rwmutex) {
  auto child = in_child([] {
    (void)run([] {
      RWMutex mutex;
      mutex.lock();
      go([&] { mutex.lock_shared(); });
      mutex.lock();
    });
  });
  EXPECT_TRUE(child.says("fatal error: all goroutines are asleep - deadlock!")) << child.error;
  EXPECT_TRUE(child.says("[sync.RWMutex.Lock]:")) << child.error;
  EXPECT_TRUE(child.says("[sync.RWMutex.RLock]:")) << child.error;
}

// deadlock.
TEST(MisuseSyncDeadlock, once) {
  auto child = in_child([] {
    (void)run([] {
      Once once;
      once.call([&] {
        WaitGroup group;
        group.go([&] { once.call([] {}); });
        group.wait();
      });
    });
  });
  EXPECT_TRUE(child.says("fatal error: all goroutines are asleep - deadlock!")) << child.error;
  EXPECT_TRUE(child.says("[sync.Once.Do]:")) << child.error;
}

TEST(MisuseSyncDeadlock, semaphore) {
  auto child = in_child([] { (void)run([] { Semaphore(1).acquire(2); }); });
  EXPECT_TRUE(child.says("fatal error: all goroutines are asleep - deadlock!")) << child.error;
  EXPECT_TRUE(child.says("[semaphore acquire]:")) << child.error;
}

TEST(MisuseSyncDeadlock, cond) {
  auto child = in_child([] {
    (void)run([] {
      Mutex mutex;
      Cond cond;
      mutex.lock();
      cond.wait(mutex);
    });
  });
  EXPECT_TRUE(child.says("fatal error: all goroutines are asleep - deadlock!")) << child.error;
  EXPECT_TRUE(child.says("[sync.Cond.Wait]:")) << child.error;
}

}  // namespace
}  // namespace hamgam
