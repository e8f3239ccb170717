// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "hamgam/hamgam.h"
#include "sched/scheduler.h"
#include "support/child.h"
#include "support/scale.h"
#include "support/until.h"

// The system refuses a thread, at any moment: work goes on with those there are, or the program
// ends with a line. (The linker has the library call the function below.)

namespace {
std::atomic<int> g_asked{0};

// The n-th thread of the library? Set while others may ask.
class Refuses {
 public:
  Refuses& operator=(std::function<bool(int)> refuses) {
    std::lock_guard const guard(mutex_);
    refuses_ = std::move(refuses);
    return *this;
  }
  bool operator()(int number) {
    std::function<bool(int)> refuses;
    {
      std::lock_guard const guard(mutex_);
      refuses = refuses_;
    }
    return refuses && refuses(number);
  }

 private:
  std::mutex mutex_;
  std::function<bool(int)> refuses_;
} g_refuses;
}  // namespace

extern "C" int __real_pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                                     void* (*entry)(void*), void* argument);
extern "C" int __wrap_pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                                     void* (*entry)(void*), void* argument) {
  int const number = ++g_asked;
  if (g_refuses(number)) {
    return EAGAIN;
  }
  return __real_pthread_create(thread, attributes, entry, argument);
}

namespace hamgam {
namespace {

using namespace std::chrono_literals;
using test::in_child;

// Also where a goroutine must keep its worker, and on a thread that is about to start one.
template <class C>
void until(C condition) {
  while (!condition()) {
    std::this_thread::sleep_for(100us);
  }
}

TEST(NoThread, run_ends_with_a_line) {
  auto child = in_child([] {
    g_refuses = [](int) { return true; };
    (void)run([] {});
  });
  EXPECT_TRUE(child.aborted()) << child.status;
  EXPECT_TRUE(child.begins(
      "fatal error: no thread to run goroutines on: the system refuses to start any\n"))
      << child.error;
}

TEST(NoThread, go_on_a_thread_ends_with_a_line) {
  auto child = in_child([] {
    g_refuses = [](int) { return true; };
    go([] {});
  });
  EXPECT_TRUE(child.aborted()) << child.status;
  EXPECT_TRUE(child.begins("fatal error: no thread to run goroutines on")) << child.error;
}

TEST(NoThread, the_first_is_had_at_the_fourth_try) {
  auto child = in_child([] {
    g_refuses = [](int number) { return number <= 3; };
    (void)run([] { sleep(1ms); });
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

// While a second worker is being refused, the first one falls asleep (somebody searches, it
// believes), and a third thread submits something and wakes nobody (for the same reason).
TEST(NoThread, work_that_came_meanwhile_is_not_forgotten) {
  auto child = in_child([] {
    max_procs(1);
    (void)run([] { sleep(1ms); });
    max_procs(2);  // and one worker
    detail::Idle& idle = detail::g_scheduler.idle;
    for (int round = 0; round < 20; ++round) {
      until([&] { return idle.active() == 0; });
      std::atomic<int> asked{0};
      std::atomic<bool> refuse{false};
      g_refuses = [&](int) {
        ++asked;
        until([&] { return refuse.load(); });
        return true;
      };
      std::atomic<bool> let_go{false};
      std::atomic<int> ran{0};
      std::atomic<bool> began{false};
      go([&] {
        began.store(true);
        until([&] { return let_go.load(); });
        ++ran;
      });
      until([&] { return began.load(); });
      std::thread third([&] {
        until([&] { return asked.load() == 1; });
        let_go.store(true);
        until([&] { return ran.load() == 2 && idle.sleepers() == 1; });
        go([&] { ++ran; });
        refuse.store(true);
      });
      go([&] { ++ran; });  // wants a second worker
      if (!test::comes_true([&] { return ran.load() == 3; })) {
        std::fputs("forgotten\n", stderr);
        std::_Exit(2);
      }
      third.join();
      g_refuses = nullptr;  // the exit asks for a thread, too
      until([&] { return idle.active() == 0; });
    }
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

// All workers block and wait for one that has no thread; then there are threads again.
TEST(NoThread, told_when_all_there_are_block) {
  auto child = in_child([] {
    std::atomic<bool> refuse{true};
    g_refuses = [&](int number) { return number > 8 && refuse.load(); };
    std::thread helper([&] {
      until([] { return g_asked.load() > 50; });  // the monitor goes on trying
      refuse.store(false);
    });
    (void)run([] {
      std::mutex mutex;
      std::condition_variable all;
      int inside = 0;
      WaitGroup group;
      for (int i = 0; i < 20; ++i) {
        group.go([&] {
          blocking([&] {
            std::unique_lock lock(mutex);
            ++inside;
            all.notify_all();
            all.wait(lock, [&] { return inside == 20; });
          });
        });
      }
      group.wait();
    });
    helper.join();
    g_refuses = nullptr;
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
  EXPECT_TRUE(
      child.says("hamgam: goroutines wait for a thread: the system refuses more than the "
                 "7 there are, which all block\n"))
      << child.error;
}

// Nothing is said while others get on with the work.
TEST(NoThread, quiet_while_work_goes_on) {
  auto child = in_child([] {
    max_procs(4);
    g_refuses = [](int number) { return number > 2; };
    (void)run([] {
      WaitGroup group;
      for (int i = 0; i < 1000; ++i) {
        group.go([] { yield(); });
      }
      group.wait();
      for (int i = 0; i < 10; ++i) {
        go([] {});
        sleep(1ms);  // the time in which something might be said
      }
    });
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
  EXPECT_EQ(child.error, "");
}

bool there_is_a_monitor() {
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream file(task.path() / "comm");
    std::string name;
    if (std::getline(file, name) && name == "hamgam-monitor") {
      return true;
    }
  }
  return false;
}

TEST(NoThread, the_monitor_is_started_later) {
  auto child = in_child([] {
    g_refuses = [](int number) { return number > 1 && number < 4; };  // the first one is a worker
    (void)run([] {
      if (!test::comes_true(there_is_a_monitor)) {
        std::_Exit(2);
      }
    });
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

// What was refused a moment ago is asked for again.
TEST(NoThread, signals_are_taken_once_there_is_one) {
  auto child = in_child([] {
    g_refuses = [](int) { return true; };
    try {
      Signals const none({SIGUSR1});
      std::_Exit(2);
    } catch (const std::system_error&) {
    }
    g_refuses = nullptr;
    Signals const taken({SIGUSR1});
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

// Its file stayed behind, so the next one found the address taken.
TEST(NoThread, pages_leave_no_file) {
  auto child = in_child([] {
    std::string const path = "/tmp/hamgam-no-thread-" + std::to_string(getpid());
    g_refuses = [](int) { return true; };
    int refused = 0;
    for (int i = 0; i < 2; ++i) {
      try {
        (void)observe::serve(path);
      } catch (const std::system_error& e) {
        refused += e.code().value() == EAGAIN ? 1 : 0;
      }
    }
    std::_Exit(refused == 2 && access(path.c_str(), F_OK) != 0 ? 0 : 1);
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

// What reports are of, without a thread to tell of it, was lost without a word.
class NoThreadForReports : public testing::Test {
 protected:
  // Computes, while another waits for the only thread, until it is over. Returns once it is seen.
  static void get_stuck() {
    observe::watch_stuck(true, 5ms);
    max_procs(1);
    (void)run([] { (void)after(1ms).recv(); });  // starts all threads that there are to be
    g_refuses = [](int) { return true; };
    go([] {
      go([] {});
      while (!g_over) {
      }
    });
    until([] { return observe::stats().stuck_running != 0; });
  }

  static void lock_in_different_orders(Mutex& a, Mutex& b) {
    {
      std::lock_guard const first(a);
      std::lock_guard const second(b);
    }
    std::lock_guard const first(b);
    std::lock_guard const second(a);
  }

  static inline std::atomic<bool> g_over{false};
};

TEST_F(NoThreadForReports, the_exit_says_how_many_were_stuck) {
  auto child = in_child([] {
    get_stuck();
    g_over = true;
    std::exit(0);
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
  EXPECT_EQ(child.error, "hamgam: stuck: 1 not told of: the system refuses a thread for it\n");
}

TEST_F(NoThreadForReports, one_that_is_stuck_is_told_of_once_there_is_a_thread) {
  auto child = in_child([] {
    get_stuck();
    g_refuses = nullptr;
    until([] { return observe::stats().stuck_reports != 0; });
    g_over = true;
    std::exit(0);
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
  EXPECT_TRUE(child.begins("hamgam: goroutine ")) << child.error;
  EXPECT_FALSE(child.says("not told of")) << child.error;
}

TEST_F(NoThreadForReports, locks_are_told_of_once_there_is_a_thread) {
  auto child = in_child([] {
    observe::watch_locks();
    Mutex locks[4];
    g_refuses = [](int) { return true; };
    lock_in_different_orders(locks[0], locks[1]);
    bool const none = observe::lock_reports() == 0;
    g_refuses = nullptr;
    lock_in_different_orders(locks[2], locks[3]);
    std::_Exit(none && observe::lock_reports() == 2 ? 0 : 1);
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
  EXPECT_TRUE(child.begins("hamgam: deadlock of locks, and no thread to tell of it\n"))
      << child.error;
}

TEST_F(NoThreadForReports, the_exit_says_how_many_locks) {
  auto child = in_child([] {
    observe::watch_locks();
    Mutex locks[4];
    g_refuses = [](int) { return true; };
    lock_in_different_orders(locks[0], locks[1]);
    lock_in_different_orders(locks[2], locks[3]);
    std::exit(0);
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
  EXPECT_TRUE(child.says("hamgam: locks: 2 not told of: the system refuses a thread for it\n"))
      << child.error;
}

// More than there were workers in a former version.
TEST(NoThread, thousands_that_block_at_once) {
  int const count = test::kSanitized || test::emulated() ? 100 : 4200;
  auto child = in_child([&] {
    (void)run([&] {
      std::mutex mutex;
      std::condition_variable all;
      int inside = 0;
      WaitGroup group;
      for (int i = 0; i < count; ++i) {
        group.go([&] {
          blocking([&] {
            std::unique_lock lock(mutex);
            if (++inside == count) {
              all.notify_all();
            }
            all.wait(lock, [&] { return inside == count; });
          });
        });
      }
      group.wait();
    });
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

}  // namespace
}  // namespace hamgam
