// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sched/report_queue.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <latch>
#include <mutex>
#include <new>
#include <string>
#include <thread>

#include "support/child.h"
#include "support/thread_limit.h"

namespace hamgam {
namespace {

using detail::kForever;
using detail::ReportQueue;
using test::in_child;

struct Report {
  int number;
};

constexpr int kWaits = -1;  // to be told of, until the gate is open
constexpr int kTooMuch = -2;

std::atomic<bool> g_waits{false};
std::mutex g_gate;

void tell(const Report& report) {
  if (report.number == kWaits) {
    g_waits = true;
    std::lock_guard const open(g_gate);
  } else if (report.number == kTooMuch) {
    throw std::bad_alloc();
  } else {
    std::fprintf(stderr, "told of %d\n", report.number);
  }
}

constinit ReportQueue<Report, 3> g_queue("test-reports", "test", &tell);

bool put(int number) { return g_queue.put({number}); }

TEST(ReportQueue, smoke) {
  auto const child = in_child([] {
    g_queue.await(kForever);  // nothing
    std::unique_lock lock(g_gate);
    EXPECT_TRUE(put(kWaits) && g_queue.ask());
    while (!g_waits) {
      std::this_thread::yield();
    }
    for (int i = 1; i <= 3; ++i) {
      EXPECT_TRUE(put(i) && g_queue.ask());
    }
    lock.unlock();
    g_queue.await(kForever);
    std::_Exit(testing::Test::HasFailure() ? 1 : 0);
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
  EXPECT_EQ(child.error, "told of 1\ntold of 2\ntold of 3\n");
}

TEST(ReportQueue, those_that_find_no_room_are_counted) {
  auto const child = in_child([] {
    std::unique_lock lock(g_gate);
    EXPECT_TRUE(put(kWaits) && g_queue.ask());
    while (!g_waits) {
      std::this_thread::yield();
    }
    for (int i = 1; i <= 5; ++i) {
      EXPECT_EQ(put(i), i <= 3);
    }
    lock.unlock();
    g_queue.await(kForever);
    EXPECT_TRUE(put(6) && g_queue.ask());
    g_queue.await(kForever);
    std::_Exit(testing::Test::HasFailure() ? 1 : 0);
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
  EXPECT_EQ(child.error,
            "told of 1\ntold of 2\ntold of 3\n"
            "hamgam: test: 2 not told of: too many at once, or no memory\ntold of 6\n");
}

TEST(ReportQueue, those_there_was_no_memory_for_are_counted) {
  auto const child = in_child([] {
    EXPECT_TRUE(put(kTooMuch) && put(1) && put(kTooMuch) && g_queue.ask());
    g_queue.await(kForever);
    std::_Exit(testing::Test::HasFailure() ? 1 : 0);
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
  EXPECT_EQ(child.error,
            "told of 1\nhamgam: test: 2 not told of: too many at once, or no memory\n");
}

TEST(ReportQueue, without_a_thread_the_exit_says_how_many) {
  auto const child = in_child([] {
    test::g_no_more_threads = true;
    for (int i = 1; i <= 5; ++i) {
      EXPECT_EQ(put(i), i <= 3);
      EXPECT_FALSE(g_queue.ask());
    }
    g_queue.await(kForever);  // for nobody
    g_queue.tell_at_exit();
    std::_Exit(testing::Test::HasFailure() ? 1 : 0);
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
  EXPECT_EQ(child.error, "hamgam: test: 5 not told of: the system refuses a thread for it\n");
}

TEST(ReportQueue, a_thread_that_comes_later_tells_of_all) {
  auto const child = in_child([] {
    test::g_no_more_threads = true;
    EXPECT_TRUE(put(1) && put(2) && !g_queue.ask());
    test::g_no_more_threads = false;
    EXPECT_TRUE(put(3) && g_queue.ask());
    g_queue.await(kForever);
    g_queue.tell_at_exit();  // there is nothing
    std::_Exit(testing::Test::HasFailure() ? 1 : 0);
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
  EXPECT_EQ(child.error, "told of 1\ntold of 2\ntold of 3\n");
}

TEST(ReportQueue, a_thread_that_comes_at_the_exit_tells_of_all) {
  auto const child = in_child([] {
    test::g_no_more_threads = true;
    EXPECT_TRUE(put(1) && put(2) && !g_queue.ask());
    test::g_no_more_threads = false;
    g_queue.tell_at_exit();
    std::_Exit(testing::Test::HasFailure() ? 1 : 0);
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
  EXPECT_EQ(child.error, "told of 1\ntold of 2\n");
}

// One that stays in the queue's lock, once it is there.
struct Stays {
  Stays(bool stay, std::latch* there) : stays(stay), is_there(there) {}
  Stays(Stays&& other) noexcept : stays(other.stays), is_there(other.is_there) {
    if (stays) {
      is_there->count_down();
      pause();
    }
  }
  bool stays;
  std::latch* is_there;
};

constinit ReportQueue<Stays, 3> g_with_stays("test-stays", "test", [](const Stays& /*one*/) {});

TEST(ReportQueue, the_child_of_a_fork_waits_for_nobody_who_did_not_come_along) {
  auto const child = in_child([] {
    static std::latch is_there(1);
    std::thread([] { (void)g_with_stays.put({true, &is_there}); }).detach();
    is_there.wait();
    pid_t const forked = fork();
    if (forked == 0) {
      g_with_stays.await(kForever);
      g_with_stays.forget();
      g_with_stays.tell_at_exit();
      _exit(g_with_stays.put({false, nullptr}) ? 100 : 1);
    }
    int status = -1;
    waitpid(forked, &status, 0);
    std::_Exit(WIFEXITED(status) && WEXITSTATUS(status) == 100 ? 0 : 1);
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
  EXPECT_EQ(child.error, "");
}

}  // namespace
}  // namespace hamgam
