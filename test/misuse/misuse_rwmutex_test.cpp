// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>

#include <thread>

#include "hamgam/hamgam.h"
#include "support/child.h"
#include "support/rwmutex_modes.h"

namespace hamgam {
namespace {

using test::in_child;

constexpr const char* kUnlock = "fatal error: sync: Unlock of unlocked RWMutex\n";
constexpr const char* kRUnlock = "fatal error: sync: RUnlock of unlocked RWMutex\n";
constexpr const char* kDowngrade = "fatal error: sync: downgrade of unlocked RWMutex\n";

template <class F>
void expect_fatal(const char* text, F body) {
  auto child = in_child([&] {
    RWMutex mutex;
    body(mutex);
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins(text)) << child.error;
}

TEST(MisuseRWMutex, RW5_unlock_of_free) {
  expect_fatal(kUnlock, [](RWMutex& m) { m.unlock(); });
}

TEST(MisuseRWMutex, RW5_unlock_of_read_held) {
  expect_fatal(kUnlock, [](RWMutex& m) {
    m.lock_shared();
    m.unlock();
  });
}

TEST(MisuseRWMutex, RW5_unlocked_twice) {
  expect_fatal(kUnlock, [](RWMutex& m) {
    m.lock();
    m.unlock();
    m.unlock();
  });
}

TEST(MisuseRWMutex, RW5_runlock_of_free) {
  expect_fatal(kRUnlock, [](RWMutex& m) { m.unlock_shared(); });
}

TEST(MisuseRWMutex, RW5_runlock_of_write_held) {
  expect_fatal(kRUnlock, [](RWMutex& m) {
    m.lock();
    m.unlock_shared();
  });
}

TEST(MisuseRWMutex, RW5_runlocked_twice) {
  expect_fatal(kRUnlock, [](RWMutex& m) {
    m.lock_shared();
    m.unlock_shared();
    m.unlock_shared();
  });
}

TEST(MisuseRWMutex, RW5_with_readers_in_slots) {
  expect_fatal(kRUnlock, [](RWMutex& m) {
    (void)test::make_biased(m);
    m.unlock_shared();
  });
  expect_fatal(kRUnlock, [](RWMutex& m) {
    (void)test::make_biased(m);
    m.lock_shared();
    std::thread([&] { m.unlock_shared(); }).join();
    std::thread([&] { m.unlock_shared(); }).join();
  });
  expect_fatal(kRUnlock, [](RWMutex& m) {
    (void)test::make_biased(m);
    m.lock();
    m.unlock_shared();
  });
  expect_fatal(kUnlock, [](RWMutex& m) {
    (void)test::make_biased(m);
    m.lock_shared();
    m.unlock();
  });
  expect_fatal(kUnlock, [](RWMutex& m) {
    (void)test::make_biased(m);
    m.lock();
    m.unlock();
    m.unlock();
  });
}

TEST(MisuseRWMutex, downgrade) {
  expect_fatal(kDowngrade, [](RWMutex& m) { m.downgrade(); });
  expect_fatal(kDowngrade, [](RWMutex& m) {
    m.lock_shared();
    m.downgrade();
  });
  expect_fatal(kDowngrade, [](RWMutex& m) {
    (void)test::make_biased(m);
    m.downgrade();
  });
}

TEST(MisuseRWMutex, in_a_goroutine_with_a_dump) {
  auto child = in_child([] {
    (void)run([] {
      RWMutex mutex;
      mutex.unlock();
    });
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins(kUnlock)) << child.error;
  EXPECT_TRUE(child.says("\n\ngoroutine 1 [running]:\n")) << child.error;
}

}  // namespace
}  // namespace hamgam
