// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// The process exits while one of its threads tells why it dies.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <thread>
#include <utility>

#include "hamgam/hamgam.h"
#include "hamgam/observe.h"
#include "sched/exit.h"
#include "support/child.h"
#include "support/until.h"

namespace {

using namespace std::chrono_literals;
using hamgam::go;
using hamgam::run;
using hamgam::test::Child;
using hamgam::test::until;

constexpr int kStatus = 7;

// Leaks are not of interest.
template <class Body>
Child in_child(Body body) {
  return hamgam::test::in_child(std::move(body), {"ASAN_OPTIONS=detect_leaks=0"});
}

// Standard error is a pipe of the child's own; more goroutines than it has room for: who tells of
// them waits for the reader. Returns the end to read from.
int tell_to_nobody() {
  int ends[2];
  if (pipe(ends) != 0 || dup2(ends[1], STDERR_FILENO) < 0) {
    std::_Exit(1);
  }
  for (int i = 0; i < 3000; ++i) {
    go({.name = "idle " + std::to_string(i)}, [] { (void)hamgam::make_chan<int>().recv(); });
  }
  return ends[0];
}

// What kills the process is not cut short by its exit.
TEST(ExitAndDeath, beside_a_goroutine_that_computes_and_dies) {
  auto const child = in_child([] {
    (void)run([] {
      (void)tell_to_nobody();
      static std::atomic<bool> there{false};
      go([] {
        for (there = true; !hamgam::detail::exiting();) {
        }
        hamgam::Mutex().unlock();
      });
      until([] { return there.load(); });
    });
    std::exit(kStatus);
  });
  EXPECT_TRUE(child.aborted()) << child.status;
}

TEST(ExitAndDeath, beside_a_thread_that_dies_between_its_parts) {
  auto const child = in_child([] {
    static std::atomic<bool> may_die{false};
    static int told = -1;
    (void)run([] {
      told = tell_to_nobody();
      std::thread([] {
        until([] { return may_die.load(); });
        hamgam::Mutex().unlock();
      }).detach();
    });
    struct Late {
      ~Late() {
        may_die = true;
        char byte = 0;
        (void)!read(told, &byte, 1);
      }
    };
    static Late const late;
    static_cast<void>(&late);
    std::exit(kStatus);
  });
  EXPECT_TRUE(child.aborted()) << child.status;
}

// What is destroyed after all that the exit does of its own.
TEST(ExitAndDeath, beside_a_thread_that_dies_at_its_end) {
  auto const child = in_child([] {
    static int told = -1;
    struct Early {
      ~Early() {
        std::thread([] { hamgam::Mutex().unlock(); }).detach();
        char byte = 0;
        (void)!read(told, &byte, 1);
      }
    };
    static Early const early;
    static_cast<void>(&early);
    (void)run([] { told = tell_to_nobody(); });
    std::exit(kStatus);
  });
  EXPECT_TRUE(child.aborted()) << child.status;
}

// The program's own code runs as it dies: it comes to scheduling points, where others are stopped.
template <class Wait>
struct Panic final : std::exception {
  [[nodiscard]] const char* what() const noexcept override {
    Wait()();
    return "slow";
  }
};

template <class Wait>
void expect_told_while_it_exits() {
  auto const child = in_child([] {
    (void)run([] {
      static std::atomic<bool> there{false};
      go([] {
        for (there = true; !hamgam::detail::exiting();) {
        }
        throw Panic<Wait>();
      });
      until([] { return there.load(); });
    });
    std::exit(kStatus);
  });
  EXPECT_TRUE(child.aborted()) << child.status << child.error;
  EXPECT_TRUE(child.begins("panic: slow\n")) << child.error;
}

TEST(ExitAndDeath, of_an_exception_whose_text_yields) {
  struct Yield {
    void operator()() const { hamgam::yield(); }
  };
  expect_told_while_it_exits<Yield>();
}

TEST(ExitAndDeath, of_an_exception_whose_text_sleeps) {
  struct Sleep {
    void operator()() const { hamgam::sleep(10ms); }
  };
  expect_told_while_it_exits<Sleep>();
}

TEST(ExitAndDeath, of_an_exception_whose_text_takes_blocking_calls) {
  struct Block {
    void operator()() const {
      hamgam::blocking([] { std::this_thread::sleep_for(10ms); });
    }
  };
  expect_told_while_it_exits<Block>();
}

// Before the exit as well it waits on its own thread, while others run, with one worker, too.
TEST(ExitAndDeath, an_exceptions_text_may_wait_for_a_goroutine) {
  auto const child = in_child([] {
    hamgam::max_procs(1);
    (void)run([] {
      struct Wait {
        void operator()() const {
          auto done = hamgam::make_chan<int>();
          go([done] { done.send(1); });
          (void)done.recv();
        }
      };
      go([] { throw Panic<Wait>(); });
      (void)hamgam::make_chan<int>().recv();
    });
  });
  EXPECT_TRUE(child.aborted()) << child.status << child.error;
  EXPECT_TRUE(child.begins("panic: slow\n")) << child.error;
}

void die_elsewhere() {
  std::thread([] { hamgam::Mutex().unlock(); }).detach();
}

// It ends by its handler of SIGABRT, not by the exit that waits for it.
TEST(ExitAndDeath, whose_handler_exits) {
  auto const child = in_child([] {
    static std::atomic<bool> handled{false};
    (void)std::signal(SIGABRT, [](int /*signal*/) {
      handled = true;
      std::this_thread::sleep_for(100ms);  // so that the other exit has begun, most often
      std::exit(kStatus + 1);
    });
    (void)run([] {});
    die_elsewhere();
    until([] { return handled.load(); });
    std::exit(kStatus);
  });
#if __GLIBC_PREREQ(2, 41)  // whose exit() lets one thread in
  EXPECT_TRUE(child.exited_with(kStatus) || child.exited_with(kStatus + 1)) << child.status;
#else
  EXPECT_TRUE(child.exited_with(kStatus + 1)) << child.status << child.error;
#endif
}

// Then the exit goes on, however much others write meanwhile, or the handler itself: that is not
// the progress of who tells.
TEST(ExitAndDeath, whose_handler_does_not_return) {
  auto const child = in_child([] {
    static std::atomic<bool> handled{false};
    (void)std::signal(SIGABRT, [](int /*signal*/) {
      for (handled = true;;) {
        hamgam::observe::write_trace("/dev/null");
        std::this_thread::sleep_for(1s);
      }
    });
    hamgam::observe::start_trace("");
    (void)run([] {});
    std::thread([] {
      for (;;) {
        hamgam::observe::write_trace("/dev/null");
        std::this_thread::sleep_for(1s);
      }
    }).detach();
    die_elsewhere();
    until([] { return handled.load(); });
    std::exit(kStatus);
  });
  EXPECT_TRUE(child.exited_with(kStatus)) << child.status << child.error;
  EXPECT_TRUE(child.says("hamgam: exit: who tells why the process dies has not got on"))
      << child.error;
}

// Who exits dies of a destructor, and what its handler waits for is stopped.
TEST(ExitAndDeath, whose_terminate_handler_waits) {
  auto const child = in_child([] {
    (void)std::set_terminate([] {
      (void)hamgam::make_chan<int>().recv();
      std::abort();
    });
    (void)run([] {});
    struct Late {
      ~Late() { std::terminate(); }
    };
    static Late const late;
    static_cast<void>(&late);
    std::exit(kStatus);
  });
  EXPECT_TRUE(child.aborted()) << child.status << child.error;
}

}  // namespace
