// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>

#include <chrono>
#include <mutex>
#include <string>
#include <thread>

#include "hamgam/hamgam.h"
#include "observe/stacks.h"
#include "support/child.h"
#include "support/crew.h"

// NoParkScope: who waits in it is told of, and nobody else.

namespace hamgam {
namespace {

int g_done = 0;

template <class F>
HAMGAM_TEST_FRAME void forbids(F f) {
  observe::NoParkScope const no_waits;
  f();
  ++g_done;
}

void expect_refused(const test::Child& child, const std::string& reason) {
  EXPECT_TRUE(child.aborted()) << child.status;
  EXPECT_TRUE(child.begins("fatal error: observe: " + reason +
                           " inside a NoParkScope, which was made at\n"))
      << child.error;
  // Where it was made, and where the wait is.
  EXPECT_NE(child.error.find("forbids<"), child.error.rfind("forbids<")) << child.error;
}

TEST(NoPark, a_lock_that_another_has) {
  expect_refused(test::in_child([] {
                   Mutex mutex;
                   mutex.lock();
                   WaitGroup all;
                   all.go([&] { forbids([&] { std::lock_guard const guard(mutex); }); });
                   all.wait();
                 }),
                 "sync.Mutex.Lock");
}

TEST(NoPark, a_channel) {
  expect_refused(test::in_child([] {
                   WaitGroup all;
                   all.go([] { forbids([] { (void)make_chan<int>().recv(); }); });
                   all.wait();
                 }),
                 "chan receive");
}

TEST(NoPark, waits_with_a_limit) {
  expect_refused(test::in_child([] {
                   WaitGroup all;
                   all.go([] { forbids([] { sleep(std::chrono::hours(1)); }); });
                   all.wait();
                 }),
                 "sleep");
}

TEST(NoPark, threads) {
  expect_refused(test::in_child([] {
                   WaitGroup all;
                   all.go([] {});  // who runs goroutines shows stacks of fatal errors
                   all.wait();
                   std::thread([] { forbids([] { (void)make_chan<int>().recv(); }); }).join();
                 }),
                 "chan receive");
}

TEST(NoPark, an_inner_one_that_is_over) {
  expect_refused(test::in_child([] {
                   WaitGroup all;
                   all.go([] {
                     forbids([] {
                       { observe::NoParkScope const inner; }
                       (void)make_chan<int>().recv();
                     });
                   });
                   all.wait();
                 }),
                 "chan receive");
}

// What does not wait may be done; and all may, when it is over.
TEST(NoPark, nobody_else) {
  for (test::Who const who : {test::Who::kGoroutines, test::Who::kThreads}) {
    test::at_once(who, 4, [](int) {
      Mutex mutex;
      auto const buffered = make_chan<int>(1);
      auto const chan = make_chan<int>();
      for (int i = 0; i < 100; ++i) {
        std::mutex plain;
        {
          std::lock_guard const lock(plain);
          observe::NoParkScope const no_waits;
          std::lock_guard const guard(mutex);
          EXPECT_FALSE(mutex.try_lock());
          buffered.send(i);
          EXPECT_EQ(buffered.recv(), i);
          go([chan, i] { chan.send(i); });
          yield();
        }
        EXPECT_EQ(chan.recv(), i);
      }
    });
  }
}

}  // namespace
}  // namespace hamgam
