// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <latch>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "hamgam/gtest.h"
#include "hamgam/hamgam.h"
#include "observe/stacks.h"
#include "support/child.h"
#include "support/crew.h"
#include "support/full_pipe.h"
#include "support/until.h"

// Goroutines that were left behind: whose they are, when that is told, and what.

namespace hamgam {
namespace {

using namespace std::chrono_literals;
using observe::LeakCheck;
using test::stacks_are_seen;
using Steady = std::chrono::steady_clock;

std::atomic<int> g_received{0};

HAMGAM_TEST_FRAME void waits_in_vain(const Chan<int>& chan) {
  (void)chan.recv();
  ++g_received;
}

// Starts one that waits until the channel is closed.
void leak(const Chan<int>& chan) {
  go({.name = "left behind"}, [chan] { waits_in_vain(chan); });
}

TEST(LeakCheck, nothing_left) {
  LeakCheck check;
  EXPECT_EQ(check.report(), "");
  WaitGroup all;
  all.go([] {});
  all.wait();
  EXPECT_EQ(check.report(), "");
  EXPECT_TRUE(check.leaks().empty());
}

TEST(LeakCheck, says_who_and_where) {
  auto const chan = make_chan<int>();
  LeakCheck check;
  leak(chan);
  std::string const report = check.report();
  EXPECT_EQ(report.rfind("1 goroutine leaked:\n\ngoroutine ", 0), 0U) << report;
  EXPECT_NE(report.find(" [chan receive]: left behind\n"), std::string::npos) << report;
  EXPECT_NE(report.find("created by a plain thread at "), std::string::npos) << report;
  auto const leaks = check.leaks();
  ASSERT_EQ(leaks.size(), 1U);
  EXPECT_EQ(leaks[0].name, "left behind");
  if (stacks_are_seen()) {
    EXPECT_TRUE(test::stands_in(leaks[0], "waits_in_vain")) << report;
  }
  chan.close();
  EXPECT_EQ(check.report(), "");
}

// Children of those that have ended, named or not, and one that a goroutine of another check gave
// something to do.
TEST(LeakCheck, descendants) {
  auto const chan = make_chan<int>();
  LeakCheck check;
  WaitGroup all;
  all.go([&] {
    go({.name = "named"}, [chan] {
      go([chan] {
        leak(chan);
        leak(chan);
      });
    });
  });
  all.wait();
  EXPECT_EQ(check.leaks().size(), 2U);
  chan.close();
  EXPECT_TRUE(check.leaks().empty());
}

// Who was there before, and who comes after, is not counted.
TEST(LeakCheck, only_while_it_lives) {
  auto const chan = make_chan<int>();
  leak(chan);
  {
    LeakCheck check;
    EXPECT_EQ(check.report(), "");
  }
  leak(chan);
  LeakCheck check;
  EXPECT_EQ(check.report(), "");
  chan.close();
}

// The outer one first: the inner one still sees what is started.
TEST(LeakCheck, destroyed_in_any_order) {
  auto const chan = make_chan<int>();
  std::optional<LeakCheck> outer(std::in_place);
  std::optional<LeakCheck> middle(std::in_place);
  LeakCheck inner;
  EXPECT_EQ(outer->report(), "");
  EXPECT_EQ(middle->report(), "");
  outer.reset();
  middle.reset();
  leak(chan);
  EXPECT_EQ(inner.leaks().size(), 1U);
  std::optional<LeakCheck> last(std::in_place);
  EXPECT_EQ(last->report(), "");
  last.reset();
  leak(chan);
  EXPECT_EQ(inner.leaks().size(), 2U);
  chan.close();
  EXPECT_TRUE(inner.leaks().empty());
}

TEST(LeakCheck, inside_of_another) {
  auto const chan = make_chan<int>();
  LeakCheck outer;
  {
    LeakCheck inner;
    leak(chan);
    EXPECT_EQ(inner.leaks().size(), 1U);
    leak(chan);
    EXPECT_EQ(inner.leaks().size(), 2U);
  }
  EXPECT_EQ(outer.leaks().size(), 2U);
  leak(chan);
  EXPECT_EQ(outer.leaks().size(), 3U);
  chan.close();
  EXPECT_TRUE(outer.leaks().empty());
}

TEST(LeakCheck, in_a_goroutine) {
  auto const chan = make_chan<int>();
  std::size_t inside = 0;
  std::size_t after = 1;
  WaitGroup all;
  all.go({.name = "owner"}, [&] {
    {
      LeakCheck check;
      leak(chan);
      inside = check.leaks().size();
    }
    leak(chan);
    LeakCheck check;
    after = check.leaks().size();
  });
  all.wait();
  chan.close();
  EXPECT_EQ(inside, 1U);
  EXPECT_EQ(after, 0U);
}

// Two at once, in two threads: each sees its own. (goleak, issue 16: tests that run in parallel.)
TEST(LeakCheck, OB10_two_at_once) {
  auto const chan = make_chan<int>();
  std::latch both(2);
  std::latch leaked(2);
  auto const run = [&](bool leaks) {
    LeakCheck check;
    both.arrive_and_wait();
    WaitGroup all;
    all.go([] { yield(); });
    if (leaks) {
      leak(chan);
    }
    all.wait();
    leaked.arrive_and_wait();
    return check.leaks(leaks ? 20ms : 1s).size();
  };
  std::size_t clean = 1;
  std::size_t dirty = 0;
  std::thread first([&] { clean = run(false); });
  std::thread second([&] { dirty = run(true); });
  first.join();
  second.join();
  EXPECT_EQ(clean, 0U);
  EXPECT_EQ(dirty, 1U);
  chan.close();
}

// A hundred at once, in goroutines.
TEST(LeakCheck, a_hundred_at_once) {
  constexpr std::size_t kChecks = 100;
  auto const chan = make_chan<int>();
  std::vector<std::size_t> found(kChecks);
  WaitGroup all;
  for (std::size_t i = 0; i < kChecks; ++i) {
    all.go([&, i] {
      LeakCheck check;
      for (std::size_t leaks = 0; leaks < i % 3; ++leaks) {
        leak(chan);
      }
      yield();
      found[i] = check.leaks(20ms).size();
    });
  }
  all.wait();
  for (std::size_t i = 0; i < kChecks; ++i) {
    EXPECT_EQ(found[i], i % 3) << i;
  }
  chan.close();
}

HAMGAM_TEST_FRAME void descends(const Chan<int>& chan, int depth) {
  if (depth == 0) {
    waits_in_vain(chan);
  } else {
    descends(chan, depth - 1);
  }
  ++g_received;
}

// (goleak: stacks that were cut were not understood.)
TEST(LeakCheck, OB10_a_deep_stack) {
  constexpr int kDepth = 10'000;
  auto const chan = make_chan<int>();
  LeakCheck check;
  go({.name = "deep", .stack_size = 16 << 20}, [chan] { descends(chan, kDepth); });
  auto const leaks = check.leaks();
  ASSERT_EQ(leaks.size(), 1U);
  EXPECT_EQ(leaks[0].name, "deep");
  EXPECT_EQ(check.leaks().size(), 1U);
  if (stacks_are_seen()) {
    check.allow("", "waits_in_vain");
    EXPECT_EQ(check.report(), "");
  }
  chan.close();
  EXPECT_EQ(check.report(), "");
}

TEST(LeakCheck, allowed) {
  auto const chan = make_chan<int>();
  LeakCheck check;
  leak(chan);
  EXPECT_EQ(check.leaks().size(), 1U);
  check.allow("chan send").allow("chan receive", "no such function");
  EXPECT_EQ(check.leaks().size(), 1U);
  check.allow("chan receive");
  EXPECT_EQ(check.report(), "");
  chan.close();
}

// One that is on its way is waited for, whatever keeps it: a timer, a thread, other goroutines.
TEST(LeakCheck, those_that_are_about_to_end) {
  LeakCheck check;
  go([] { sleep(30ms); });
  EXPECT_EQ(check.report(60s), "");
  auto const chan = make_chan<int>();
  leak(chan);
  std::thread waker([chan] {
    std::this_thread::sleep_for(30ms);
    chan.send(1);
  });
  EXPECT_EQ(check.report(60s), "");
  waker.join();
  go([chan] { chan.send(1); });
  leak(chan);
  EXPECT_EQ(check.report(60s), "");
}

// The answer comes when nobody could wake it any more, not at the limit.
TEST(LeakCheck, answers_as_soon_as_it_is_sure) {
  if (std::getenv("HAMGAM_TEST_EMULATOR") != nullptr) {
    return;  // which has threads of its own
  }
  auto const chan = make_chan<int>();
  auto const start = Steady::now();
  LeakCheck check;
  leak(chan);
  EXPECT_EQ(check.leaks(1h).size(), 1U);
  WaitGroup all;
  all.go([&] {
    LeakCheck inside;
    leak(chan);
    EXPECT_EQ(inside.leaks(1h).size(), 1U);
  });
  all.wait();
  EXPECT_LT(Steady::now() - start, 30min);
  chan.close();
}

// Nobody has asked it.
TEST(LeakCheck, prints) {
  auto const child = test::in_child([] {
    auto const chan = make_chan<int>();
    LeakCheck check;
    check.allow("select");
    leak(chan);
  });
  EXPECT_TRUE(child.succeeded());
  EXPECT_TRUE(child.begins("1 goroutine leaked:\n\ngoroutine ")) << child.error;
  auto const quiet = test::in_child([] {
    LeakCheck check;
    WaitGroup all;
    all.go([] {});
    all.wait();
  });
  EXPECT_TRUE(quiet.succeeded());
  EXPECT_EQ(quiet.error, "");
}

TEST(LeakCheck, the_exit_does_not_wait_for_who_reads_errors) {
  auto const child = test::in_child([] {
    static auto const chan = make_chan<int>();
    static LeakCheck const check;
    leak(chan);
    test::fill_standard_error();
    std::exit(0);
  });
  EXPECT_TRUE(child.succeeded()) << child.status;
}

// A leak is planted, and the listener must find it. (sniproxy, issue 205: a check that looked at
// what an earlier one had seen, and always passed.)
TEST(LeakListener, OB14_a_planted_leak) {
  auto const chan = make_chan<int>();
  const testing::TestInfo& test = *testing::UnitTest::GetInstance()->current_test_info();
  observe::LeakListener listener;
  testing::TestPartResultArray failures;
  auto const fails = [&](auto body) {
    int const before = failures.size();
    listener.OnTestStart(test);
    body();
    {
      testing::ScopedFakeTestPartResultReporter const reporter(
          testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &failures);
      listener.OnTestEnd(test);
    }
    return failures.size() != before;
  };
  EXPECT_FALSE(fails([] {}));
  EXPECT_TRUE(fails([&] { leak(chan); }));
  EXPECT_FALSE(fails([] {}));  // it is the former one's
  std::string const message = failures.GetTestPartResult(0).message();
  EXPECT_NE(message.find("1 goroutine leaked:\n"), std::string::npos) << message;
  listener.allow("chan receive");
  EXPECT_FALSE(fails([&] { leak(chan); }));
  chan.close();
}

}  // namespace
}  // namespace hamgam
