// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>

#include <chrono>
#include <mutex>
#include <new>
#include <shared_mutex>
#include <sstream>
#include <thread>

#include "hamgam/hamgam.h"
#include "observe/stacks.h"
#include "support/allocations.h"

// A certain allocation that failed while goroutines were looked at ended the process; now
// std::bad_alloc is thrown wherever memory is wanted. Not under ThreadSanitizer, where clang does
// not let us replace its operators.

#if !defined(HAMGAM_TSAN)

namespace hamgam {
namespace {

using namespace std::chrono_literals;

// Calls f while the first allocation is refused, then the second, and so on. How many there are.
template <class F>
int refuse_each(F f) {
  for (int n = 1;; ++n) {
    test::g_refused_in = n;
    try {
      f();
    } catch (const std::bad_alloc&) {
      EXPECT_LE(test::g_refused_in, 0) << n;
      continue;
    }
    if (test::g_refused_in.exchange(0) > 0) {
      return n - 1;
    }
  }
}

class ObserveMemory : public ::testing::Test {
 protected:
  void SetUp() override {
    all_.go({.name = "waits"}, [this] { (void)chan_.recv(); });
    all_.go({.name = "waits too"}, [this] { (void)chan_.recv(); });
    test::await_waiting("waits", "chan receive");
    test::await_waiting("waits too", "chan receive");
  }
  void TearDown() override {
    chan_.close();
    all_.wait();
  }

 private:
  Chan<Unit> chan_ = make_chan<Unit>();
  WaitGroup all_;
};

TEST_F(ObserveMemory, goroutines) {
  EXPECT_GT(refuse_each([] { (void)observe::goroutines(); }), 0);
}

TEST_F(ObserveMemory, dump) {
  EXPECT_GT(refuse_each([] {
              std::ostringstream out;
              observe::dump(out);
            }),
            0);
}

TEST_F(ObserveMemory, leaks) {
  observe::LeakCheck check;
  auto const chan = make_chan<Unit>();
  WaitGroup left;
  left.go({.name = "left"}, [chan] { (void)chan.recv(); });
  test::await_waiting("left", "chan receive");
  EXPECT_GT(refuse_each([&] { (void)check.leaks(1ns); }), 0);
  EXPECT_GT(refuse_each([&] { (void)check.report(1ns); }), 0);
  EXPECT_GT(refuse_each([] { observe::LeakCheck().allow("a reason that is long enough"); }), 0);
  chan.close();
  left.wait();
}

// The program's own operator new may have locks, which are watched, too: what is noted while one is
// held must not ask it for memory.
TEST_F(ObserveMemory, watched_locks) {
  (void)refuse_each([] { observe::watch_locks(); });
  Mutex a;
  Mutex b;
  RWMutex c;
  auto const take = [&] {
    EXPECT_EQ(refuse_each([&] {
                std::scoped_lock const both(a, b);
                std::shared_lock const read(c);
              }),
              0);
  };
  WaitGroup all;
  all.go(take);
  all.wait();
  std::thread(take).join();
}

}  // namespace
}  // namespace hamgam

#endif
