// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>

#include <cstdio>
#include <stdexcept>
#include <thread>

#include "hamgam/hamgam.h"
#include "support/asleep.h"
#include "support/child.h"

namespace hamgam {
namespace {

using test::in_child;

// WG2, and nobody catches it.
TEST(MisuseWaitGroup, negative_counter_uncaught) {
  auto child = in_child([] {
    go([] { WaitGroup().done(); });
    WaitGroup never;
    never.add(1);
    never.wait();
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins("panic: sync: negative WaitGroup counter\n\ngoroutine ")) << child.error;
  EXPECT_TRUE(child.says(" [running]:\n")) << child.error;
}

// WG6: wait does not return first.
TEST(MisuseWaitGroup, WG6_exception_in_go) {
  auto child = in_child([] {
    WaitGroup group;
    group.go([] { throw std::runtime_error("boom"); });
    group.wait();
    std::fputs("wait returned", stderr);
    std::_Exit(3);
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins("panic: boom\n\ngoroutine ")) << child.error;
  EXPECT_FALSE(child.says("wait returned")) << child.error;
}

// The same if other goroutines of the group follow on the same worker.
TEST(MisuseWaitGroup, WG6_exception_in_the_middle) {
  auto child = in_child([] {
    (void)run([] {
      WaitGroup group;
      for (int i = 0; i < 10; ++i) {
        group.go([i] {
          if (i == 5) {
            throw std::runtime_error("boom");
          }
        });
      }
      group.wait();
      std::fputs("wait returned", stderr);
      std::_Exit(3);
    });
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins("panic: boom\n\ngoroutine ")) << child.error;
  EXPECT_FALSE(child.says("wait returned")) << child.error;
}

// Used again before all that waited have returned. Which of them panics depends on who is faster,
// so this only happens now and then: none of it may hang or go unnoticed as a crash.
TEST(MisuseWaitGroup, reuse_too_early_panics_or_works) {
  int panics = 0;
  for (int round = 0; round < 200; ++round) {
    WaitGroup group;
    group.add(1);
    std::string text;
    std::thread waiter([&] {
      try {
        group.wait();
      } catch (const Panic& panic) {
        text = panic.what();
      }
    });
    test::await_asleep(&group, 1);
    group.done();
    group.add(1);  // the waiter may still be about to return
    group.done();
    waiter.join();
    if (!text.empty()) {
      EXPECT_EQ(text, "sync: WaitGroup is reused before previous Wait has returned");
      ++panics;
    }
  }
  std::printf("%d of 200 panicked\n", panics);
}

// Add from 0 while somebody waits is misuse too; whoever made the counter 0 may see that add and
// leave the sleepers to it, so it must wake them before it panics. (Found by reading.)
TEST(MisuseWaitGroup, add_concurrent_with_wait_wakes_the_sleepers) {
  for (int round = 0; round < 2000; ++round) {
    WaitGroup group;
    group.add(1);
    auto ignoring_panics = [](auto f) {
      try {
        f();
      } catch (const Panic&) {
      }
    };
    WaitGroup everybody;
    everybody.go([&] { ignoring_panics([&] { group.wait(); }); });
    test::await_asleep(&group, 1);
    everybody.go([&] { group.done(); });
    everybody.go([&] {
      ignoring_panics([&] {
        group.add(1);
        group.done();
      });
    });
    everybody.wait();
  }
}

}  // namespace
}  // namespace hamgam
