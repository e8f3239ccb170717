// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "hamgam/hamgam.h"
#include "observe/stacks.h"
#include "support/child.h"
#include "support/crew.h"
#include "support/scale.h"
#include "support/trace.h"
#include "support/until.h"

// Reports of goroutines that hold their thread up.

namespace hamgam {
namespace {

using namespace std::chrono_literals;

bool g_over = false;

// Without a call, of a function of std::atomic: the place is the same wherever the loop is seen.
[[gnu::noinline]] void spin_in_a_loop() {
  while (!__atomic_load_n(&g_over, __ATOMIC_SEQ_CST)) {
  }
}

void set_over(bool over) { __atomic_store_n(&g_over, over, __ATOMIC_SEQ_CST); }

[[gnu::noinline]] void wait_for_a_pipe(int end) {
  char c = 0;
  while (read(end, &c, 1) < 0) {
  }
}

std::uint64_t stuck() { return observe::stats().stuck_running; }
std::uint64_t blocked() { return observe::stats().stuck_blocked; }
std::uint64_t reports() { return observe::stats().stuck_reports; }

// Some that want a thread all the time, on every worker.
class Others {
 public:
  Others() {
    for (int i = 0; i < 4 * max_procs(); ++i) {
      group_.go([this] {
        while (!over_) {
          yield();
        }
      });
    }
  }
  ~Others() {
    over_ = true;
    group_.wait();
  }
  Others(const Others&) = delete;
  Others& operator=(const Others&) = delete;

 private:
  std::atomic<bool> over_{false};
  WaitGroup group_;
};

int times(const std::string& text, const std::string& part) {
  int count = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) {
    ++count;
  }
  return count;
}

void exit_now() {
  if (testing::Test::HasFailure()) {
    std::fprintf(stderr, "%llu stuck, %llu blocked, %llu reports\n",
                 static_cast<unsigned long long>(stuck()),
                 static_cast<unsigned long long>(blocked()),
                 static_cast<unsigned long long>(reports()));
  }
  std::_Exit(testing::Test::HasFailure() ? 1 : 0);
}

TEST(Stuck, smoke) {
  auto const child = test::in_child(
      [] {
        Others const others;
        go({.name = "spinner"}, spin_in_a_loop);
        test::until([] { return reports() > 0; });
        EXPECT_GE(stuck(), 1U);
        exit_now();
      },
      {"HAMGAM_DEBUG=locks,stuck"});
  EXPECT_TRUE(child.succeeded()) << child.error;
  EXPECT_TRUE(child.says(" has computed, without a scheduling point, for ")) << child.error;
  EXPECT_TRUE(child.says(" [running]: spinner\n")) << child.error;
  EXPECT_TRUE(child.says("spin_in_a_loop") || !test::running_ones_are_seen()) << child.error;
  EXPECT_TRUE(child.says("created by ")) << child.error;
}

TEST(Stuck, off_nobody_is_told_of) {
  auto const child = test::in_child([] {
    {
      Others const others;
      observe::watch_stuck();
      observe::watch_stuck(false);
      WaitGroup group;
      group.go(spin_in_a_loop);
      auto const start = std::chrono::steady_clock::now();
      test::until([&] { return std::chrono::steady_clock::now() - start > 100ms; });
      set_over(true);
      group.wait();
    }
    EXPECT_EQ(stuck() + blocked() + reports(), 0U);
    exit_now();
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
  EXPECT_EQ(child.error, "");
}

// Each time it is counted, and it is told of once.
TEST(Stuck, a_place_is_told_of_once_a_minute) {
  auto const child = test::in_child([] {
    observe::watch_stuck(true, 5ms);
    Others const others;
    for (unsigned i = 0; i < 5; ++i) {
      set_over(false);
      WaitGroup group;
      group.go({.name = "spins"}, spin_in_a_loop);
      test::until([i] { return stuck() > i && reports() > 0; });
      set_over(true);
      group.wait();
    }
    set_over(false);
    go({.name = "elsewhere"}, [] { spin_in_a_loop(); });
    test::until([] { return reports() > 1; });
    exit_now();
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
#if !defined(HAMGAM_TSAN)  // whose own functions are in the loop
  EXPECT_EQ(times(child.error, "hamgam: "), 2) << child.error;
#endif
  EXPECT_GE(times(child.error, "]: spins\n"), 1) << child.error;
  EXPECT_GE(times(child.error, "]: elsewhere\n"), 1) << child.error;
}

TEST(Stuck, a_call_that_blocks_outside_of_blocking) {
  auto const child = test::in_child([] {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    observe::watch_stuck();
    Others const others;
    WaitGroup group;
    group.go({.name = "reader"}, [&] { wait_for_a_pipe(ends[0]); });
    test::until([] { return reports() > 0; });
    EXPECT_GE(blocked(), 1U);
    EXPECT_EQ(stuck(), 0U);
    EXPECT_EQ(write(ends[1], "x", 1), 1);
    group.wait();
    exit_now();
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
  EXPECT_TRUE(child.says(" has blocked its thread, outside of blocking(), for ")) << child.error;
  EXPECT_TRUE(child.says(" [blocks its thread]: reader\n")) << child.error;
  EXPECT_TRUE(child.says("wait_for_a_pipe") || !test::running_ones_are_seen()) << child.error;
}

// To be asked where it is ends its call: it passes a scheduling point before it can be told of.
TEST(Stuck, a_call_that_ends_because_it_is_looked_at) {
  auto const child = test::in_child([] {
    observe::watch_stuck();
    Others const others;
    WaitGroup group;
    int looks = 0;
    group.go([&] {
      for (; reports() == 0; yield()) {
        looks += poll(nullptr, 0, 10'000) < 0 ? 1 : 0;
      }
    });
    group.wait();
    EXPECT_LT(looks, 8);
    exit_now();
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
  EXPECT_TRUE(child.says(" has blocked its thread, outside of blocking(), for ")) << child.error;
}

// Its goroutine cannot leave its thread there, but others have the processor by turns.
TEST(Stuck, a_stop_callback_that_waits_now_and_then) {
  auto const child = test::in_child([] {
    observe::watch_stuck(true, 50ms);
    Others const others;
    auto const [ctx, cancel] = with_cancel(Context::background());
    std::stop_callback const computes(ctx.stop_token(), [] {
      for (int i = 0; i < 300; ++i) {
        auto const end = std::chrono::steady_clock::now() + 2ms;
        while (std::chrono::steady_clock::now() < end) {
        }
        sleep(100us);  // of none it would return at once
      }
    });
    WaitGroup group;
    group.go([stop = cancel] { stop(); });
    group.wait();
    EXPECT_EQ(stuck(), 0U);
    exit_now();
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
}

// Whoever computes, or waits, in blocking(), and goes on a little behind it.
TEST(Stuck, blocking_is_meant) {
  auto const child = test::in_child([] {
    observe::watch_stuck(true, 10ms);
    {
      Others const others;
      WaitGroup group;
      for (int i = 0; i < 4; ++i) {
        group.go([i] {
          for (int j = 0; j < 5; ++j) {
            blocking([i] {
              auto const end = std::chrono::steady_clock::now() + 30ms;
              if (i % 2 == 0) {
                std::this_thread::sleep_until(end);
              }
              while (std::chrono::steady_clock::now() < end) {
              }
            });
          }
        });
      }
      group.wait();
    }
    EXPECT_EQ(stuck() + blocked(), 0U);
    exit_now();
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
}

// Four times as many threads as processors: nobody gets one for long, and that is no goroutine's
// fault.
TEST(Stuck, a_busy_machine_is_no_reason) {
  auto const child = test::in_child([] {
    observe::watch_stuck();
    std::atomic<bool> over{false};
    std::vector<std::thread> load;
    for (unsigned i = 0; i < 4 * std::thread::hardware_concurrency(); ++i) {
      load.emplace_back([&over] {
        while (!over) {
        }
      });
    }
    WaitGroup group;
    for (int i = 0; i < 8; ++i) {
      group.go([] {
        for (int j = 0; j < test::scaled(2000); ++j) {
          for (std::atomic<int> spins{0}; spins < 10'000;) {
            ++spins;
          }
          yield();
        }
      });
    }
    group.wait();
    over = true;
    for (std::thread& thread : load) {
      thread.join();
    }
    EXPECT_EQ(stuck(), 0U);
#if !defined( \
    HAMGAM_TSAN)  // which has locks of its own, where one may wait for who has no processor
    EXPECT_EQ(blocked(), 0U);
#endif
    exit_now();
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
}

// Test 2: standard error is a pipe that nobody reads, and a goroutine has stdout's lock. All goes
// on, and what is not told of is counted.
TEST(Stuck, OB2_a_report_that_nobody_reads_holds_nobody_up) {
  auto const child = test::in_child([] {
    int const error = dup(STDERR_FILENO);
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_NONBLOCK), 0);
    char const block[512] = {};
    while (write(ends[1], block, sizeof block) > 0) {
    }
    fcntl(ends[1], F_SETFL, 0);
    dup2(ends[1], STDERR_FILENO);
    observe::watch_stuck(true, 5ms);
    {
      Others const others;
      for (unsigned i = 0; i < 3; ++i) {
        set_over(false);
        WaitGroup group;
        group.go([] {
          flockfile(stdout);
          spin_in_a_loop();
          funlockfile(stdout);
        });
        test::until([i] { return stuck() > i; });
        set_over(true);
        group.wait();
      }
    }
    EXPECT_EQ(reports(), 0U);
    dup2(error, STDERR_FILENO);
    exit_now();
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
}

TEST(Stuck, a_flight_recorder_is_written) {
  std::string const path =
      testing::TempDir() + "hamgam_flight_" + std::to_string(getpid()) + ".pftrace";
  auto const child = test::in_child(
      [] {
        observe::start_trace(std::getenv("TRACE_PATH"),
                             {.memory = std::size_t{1} << 20, .on_reports = true});
        observe::watch_stuck();
        Others const others;
        go({.name = "spinner"}, spin_in_a_loop);
        test::until([] { return reports() > 0; });
        exit_now();
      },
      {"TRACE_PATH=" + path});
  EXPECT_TRUE(child.succeeded()) << child.error;
  std::string flight = path;
  flight.insert(flight.rfind('.'), "-stuck");
  EXPECT_TRUE(child.says("hamgam: what led to it: " + flight + "\n")) << child.error;
  std::vector<test::Slice> const slices = test::read_trace(flight).named("spinner");
  ASSERT_EQ(slices.size(), 1U);
  EXPECT_GE(slices[0].end - slices[0].begin, 0);
  std::remove(flight.c_str());
  std::remove(path.c_str());
}

}  // namespace
}  // namespace hamgam
