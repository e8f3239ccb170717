// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "hamgam/hamgam.h"
#include "support/asleep.h"
#include "support/child.h"
#include "support/scale.h"

// run: the main goroutine.

namespace hamgam {
namespace {

TEST(Run, returns_what_main_returns) {
  EXPECT_EQ(run([] { return 42; }), 42);
  EXPECT_EQ(run([] {}), 0);
  EXPECT_EQ(run([] { return true; }), 1);
  auto owned = std::make_unique<int>(7);
  EXPECT_EQ(run([owned = std::move(owned)] { return *owned; }), 7);
}

TEST(Run, main_is_a_goroutine) {
  std::uint64_t id = 0;
  EXPECT_EQ(run([&] {
              id = goroutine_id();
              return static_cast<int>(num_goroutine());
            }),
            1);
  EXPECT_NE(id, 0U);
  EXPECT_EQ(goroutine_id(), 0U);
}

TEST(Run, the_first_main_is_number_1) {
  auto child = test::in_child([] {
    go([] { std::_Exit(goroutine_id() == 1 ? 4 : 5); });
    (void)run([] {
      if (goroutine_id() != 1) {
        std::_Exit(6);
      }
      WaitGroup().wait();
      std::this_thread::sleep_for(std::chrono::hours(1));
    });
  });
  EXPECT_TRUE(child.exited_with(5)) << child.status << child.error;
}

TEST(Run, an_exception_comes_out) {
  try {
    (void)run([]() -> int { throw std::runtime_error("out"); });
    FAIL();
  } catch (const std::runtime_error& e) {
    EXPECT_STREQ(e.what(), "out");
  }
  EXPECT_THROW((void)run([] { throw 5; }), int);
  EXPECT_EQ(run([] { return 1; }), 1);  // and again afterwards
}

TEST(Run, nested_is_a_panic) {
  std::string text;
  (void)run([&] {
    try {
      (void)run([] {});
    } catch (const Panic& panic) {
      text = panic.what();
    }
  });
  EXPECT_FALSE(text.empty());
  WaitGroup group;
  group.go([] { EXPECT_THROW((void)run([] {}), Panic); });
  group.wait();
}

TEST(Run, beside_another_is_a_panic) {
  Mutex gate;
  gate.lock();
  std::thread other([&] {
    (void)run([&] {
      gate.lock();
      gate.unlock();
    });
  });
  test::await_asleep(&gate, 1);
  EXPECT_THROW((void)run([] {}), Panic);
  gate.unlock();
  other.join();
  EXPECT_EQ(run([] { return 3; }), 3);
}

TEST(Run, does_not_wait_for_the_others) {
  Atomic<bool> stop;
  WaitGroup group;
  EXPECT_EQ(run([&] {
              for (int i = 0; i < 4; ++i) {
                group.go([&] {
                  while (!stop.load()) {
                    yield();
                  }
                });
              }
              [[maybe_unused]] Mutex never;
              group.go([&] { stop.wait(false); });
              return 9;
            }),
            9);
  EXPECT_EQ(run([] { return 10; }), 10);  // while they go on
  stop.store(true);
  stop.notify_all();
  group.wait();
}

TEST(Run, stress_again_and_again) {
  int const rounds = test::emulated() ? 100 : 1000;
  for (int round = 0; round < rounds; ++round) {
    ASSERT_EQ(run([round] {
                int sum = 0;
                WaitGroup group;
                Mutex mutex;
                for (int i = 0; i < 3; ++i) {
                  group.go([&] {
                    LockGuard const guard(mutex);
                    sum += round;
                  });
                }
                group.wait();
                return sum;
              }),
              3 * round);
  }
}

// Everything that the main goroutine did is seen by the one that called run, and the other way
// round.
TEST(Run, happens_before) {
  int value = 1;
  (void)run([&] {
    value += 1;
    go([] {});
    yield();
    value += 1;
  });
  EXPECT_EQ(value, 3);
}

}  // namespace
}  // namespace hamgam
