// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <climits>
#include <csignal>
#include <cstdio>
#include <initializer_list>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>

#include "hamgam/hamgam.h"
#include "observe/stacks.h"
#include "support/child.h"
#include "support/scale.h"

// What programs say of all their goroutines when they die, and when they are asked by SIGQUIT.

namespace hamgam {
namespace {

using test::Child;
using test::in_child;
using test::stacks_are_seen;

Mutex g_first;
Mutex g_second;
std::atomic<int> g_done{0};

HAMGAM_TEST_FRAME void takes_second() {
  std::lock_guard const guard(g_second);
  ++g_done;
}

HAMGAM_TEST_FRAME void takes_first() {
  std::lock_guard const guard(g_first);
  ++g_done;
}

// One goroutine that waits for a lock in takes_second().
void start_sleeper() {
  g_second.lock();
  go({.name = "sleeper"}, [] { takes_second(); });
  test::await_waiting("sleeper", "sync.Mutex.Lock");
  // Objects are known as soon as a worker was idle.
  test::until([] {
    sleep(std::chrono::milliseconds(1));
    for (const observe::GoroutineInfo& info : observe::goroutines()) {
      if (info.name == "sleeper" && info.waits_on != nullptr) {
        return true;
      }
    }
    return !stacks_are_seen();
  });
}

void expect_sleeper(const Child& child) {
  std::size_t const at = child.error.find(" [sync.Mutex.Lock]: sleeper\n");
  EXPECT_NE(at, std::string::npos) << child.error;
  if (stacks_are_seen() && at != std::string::npos) {
    EXPECT_NE(child.error.find("waits for 0x", at), std::string::npos) << child.error;
    std::size_t const frame = child.error.find("takes_second()\n\t", at);
    EXPECT_NE(frame, std::string::npos) << child.error;
    EXPECT_LT(frame, child.error.find("created by goroutine ", at)) << child.error;
  }
}

TEST(MisuseDump, unrecovered_exception) {
  auto child = in_child([] {
    (void)run([] {
      start_sleeper();
      go([] { throw std::runtime_error("lost"); });
      g_first.lock();
      takes_first();
    });
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins("panic: lost\n\ngoroutine ")) << child.error;
  expect_sleeper(child);
  EXPECT_TRUE(child.says("\ngoroutine 1 [")) << child.error;
}

TEST(MisuseDump, fatal_error) {
  auto child = in_child([] {
    (void)run([] {
      start_sleeper();
      Mutex().unlock();
    });
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(
      child.begins("fatal error: sync: unlock of unlocked mutex\n\ngoroutine 1 [running]:\n"))
      << child.error;
  expect_sleeper(child);
}

#if !defined(HAMGAM_TSAN) && !defined(HAMGAM_ASAN)

// NOLINTNEXTLINE(misc-no-recursion): it is to overflow
HAMGAM_TEST_FRAME int dives(int depth) {
  volatile char room[1024];
  room[0] = static_cast<char>(depth);
  return depth == INT_MAX ? 0 : dives(depth + 1) + room[0];
}

TEST(MisuseDump, stack_overflow) {
  auto child = in_child([] {
    (void)run([] {
      start_sleeper();
      go({.name = "diver"}, [] { return g_done += dives(0); });
      takes_second();
    });
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins("fatal error: stack overflow\n")) << child.error;
  if (!test::emulated()) {  // qemu tells no frames of a signal
    EXPECT_TRUE(child.says("dives")) << child.error;
  }
  expect_sleeper(child);
}

#endif

// 22: the thread that waits for the signal does not hide a deadlock.
TEST(MisuseDump, OB22_deadlock_beside_the_signals_thread) {
  if (test::emulated()) {
    return;  // an emulator has threads of its own
  }
  auto child = in_child([] {
    (void)run([] {
      observe::install_signal_handler();
      start_sleeper();
      g_first.lock();
      takes_first();
    });
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins("fatal error: all goroutines are asleep - deadlock!\n")) << child.error;
  expect_sleeper(child);
  EXPECT_TRUE(child.says("\ngoroutine 1 [sync.Mutex.Lock]:\n")) << child.error;
  EXPECT_TRUE(!stacks_are_seen() || child.says("takes_first()\n")) << child.error;
}

// What is written to standard error from now on until it holds all of these.
class Captured {
 public:
  Captured() {
    EXPECT_EQ(pipe2(ends_, O_CLOEXEC), 0);
    former_ = dup(STDERR_FILENO);
    dup2(ends_[1], STDERR_FILENO);
  }
  std::string until(std::initializer_list<const char*> words) {
    std::string text;
    char buffer[4096];
    while (!std::all_of(words.begin(), words.end(), [&text](const char* word) {
      return text.find(word) != std::string::npos;
    })) {
      text.append(buffer, static_cast<std::size_t>(read(ends_[0], buffer, sizeof buffer)));
    }
    dup2(former_, STDERR_FILENO);
    return text;
  }

 private:
  int ends_[2] = {};
  int former_ = -1;
};

// All workers are busy, and the program goes on.
TEST(MisuseDump, quit_while_all_spin) {
  auto child = in_child([] {
    max_procs(2);
    observe::install_signal_handler();
    observe::install_signal_handler();  // once more: no harm
    (void)run([] {
      start_sleeper();
      std::atomic<bool> over{false};
      std::atomic<int> spinning{0};
      WaitGroup group;
      std::thread asks([&] {
        while (spinning < 4) {
          std::this_thread::yield();
        }
        Captured captured;
        std::raise(SIGQUIT);
        std::string const text =
            captured.until({"SIGQUIT: quit\n\ngoroutine 1 [", " [sync.Mutex.Lock]: sleeper\n",
                            " [running]: spinner\n"});
        std::fputs(text.c_str(), stderr);
        over = true;
      });
      for (int i = 0; i < 4; ++i) {
        group.go({.name = "spinner"}, [&] {
          ++spinning;
          while (!over) {
          }
        });
      }
      group.wait();
      asks.join();
      std::fputs("went on\n", stderr);
      g_second.unlock();
      test::until([] { return g_done == 1; });
    });
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
  EXPECT_TRUE(child.begins("SIGQUIT: quit\n\ngoroutine 1 [")) << child.error;
  EXPECT_TRUE(child.says("went on\n")) << child.error;
}

#if !defined(HAMGAM_TSAN)  // which keeps the signal back there

// The child of a fork has no goroutines to tell of: the signal does what it did.
TEST(MisuseDump, quit_in_a_forked_child) {
  auto child = in_child([] {
    observe::install_signal_handler();
    pid_t const forked = fork();
    if (forked == 0) {
      alarm(60);
      std::raise(SIGQUIT);
      for (;;) {
        pause();
      }
    }
    int status = 0;
    waitpid(forked, &status, 0);
    std::fputs(WIFSIGNALED(status) && WTERMSIG(status) == SIGQUIT ? "as before\n" : "no\n", stderr);
  });
  EXPECT_TRUE(child.succeeded());
  EXPECT_TRUE(child.says("as before\n")) << child.error;
}

#endif

}  // namespace
}  // namespace hamgam
