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
#include <utility>

#include "hamgam/hamgam.h"
#include "observe/stacks.h"
#include "support/child.h"
#include "support/full_pipe.h"
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
  test::until([] {  // it says so a moment before it has left its stack
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
  EXPECT_FALSE(child.says("print_current")) << child.error;
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
    EXPECT_FALSE(child.says("on_fault")) << child.error;  // but nothing of ours
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

constexpr int kCrowd = 600;

// So many that a pipe does not hold what is told of them.
void start_crowd() {
  g_second.lock();
  for (int i = 0; i < kCrowd; ++i) {
    go({.name = "one of a crowd, number " + std::to_string(i)}, [] { takes_second(); });
  }
  test::until([] { return test::count_waiting("sync.Mutex.Lock") == kCrowd; });
}

// Nobody reads what it tells: it dies none the less.
TEST(MisuseDump, nobody_reads_it) {
  auto child = in_child([] {
    (void)run([] {
      start_crowd();
      int ends[2];
      EXPECT_EQ(pipe(ends), 0);
      dup2(ends[1], STDERR_FILENO);
      Mutex().unlock();
    });
  });
  EXPECT_TRUE(child.aborted());
}

// The pipe was full before the first line, for which the process waited for ever.
TEST(MisuseDump, nobody_reads_the_first_line) {
  if (test::emulated()) {
    return;  // an emulator tells of the death itself, and waits for a reader
  }
  auto const deaths = {
      +[] { (void)make_chan<int>().recv(); },
      +[] { throw std::runtime_error("nobody catches it"); },
      +[] {
        Mutex mutex;
        mutex.unlock();
      },
  };
  for (auto const die : deaths) {
    auto child = in_child([die] {
      (void)run([die] {
        WaitGroup all;
        all.go([die] {
          test::fill_standard_error();
          die();
        });
        all.wait();
      });
    });
    EXPECT_TRUE(child.aborted()) << child.status;
  }
}

// The standard library's own handler would wait.
TEST(MisuseDump, nobody_reads_of_a_threads_exception) {
  if (test::emulated()) {
    return;  // as above
  }
  auto child = in_child([] {
    (void)run([] {});
    std::thread([] {
      test::fill_standard_error();
      throw std::runtime_error("nobody catches it");
    }).join();
  });
  EXPECT_TRUE(child.aborted()) << child.status;
}

TEST(MisuseDump, a_threads_exception) {
  auto child = in_child([] {
    (void)run([] {});
    std::thread([] { throw std::runtime_error("nobody catches it"); }).join();
  });
  EXPECT_TRUE(child.aborted()) << child.status;
  EXPECT_TRUE(
      child.begins("terminate called after throwing an instance of 'std::runtime_error'\n"
                   "  what():  nobody catches it\n"))
      << child.error;
}

// From now on another process passes on what is written to standard error, also when this one is
// dead, but for a while only the beginning.
class Relay {
 public:
  Relay() {
    EXPECT_EQ(pipe(text_) + pipe(begun_) + pipe(go_on_), 0);
    if (fork() == 0) {
      close(text_[1]);
      close(go_on_[1]);
      char text[4096];
      for (bool first = true; ssize_t const got = read(text_[0], text, sizeof text);) {
        (void)!write(STDERR_FILENO, text, static_cast<std::size_t>(got));
        if (std::exchange(first, false)) {
          (void)!write(begun_[1], text, 1);
          (void)!read(go_on_[0], text, 1);
        }
      }
      _exit(0);
    }
    dup2(text_[1], STDERR_FILENO);
    close(text_[1]);
  }
  void await_beginning() {
    char byte = 0;
    EXPECT_EQ(read(begun_[0], &byte, 1), 1);
  }
  void go_on() { EXPECT_EQ(write(go_on_[1], "", 1), 1); }

 private:
  int text_[2] = {};
  int begun_[2] = {};
  int go_on_[2] = {};
};

// A goroutine of a crowd dies, and when its telling has begun something else happens.
template <class F>
Child dies_and(F meanwhile) {
  return in_child([&meanwhile] {
    Relay relay;
    (void)run([&] {
      start_crowd();
      std::thread([&] {
        relay.await_beginning();
        meanwhile();
        relay.go_on();
      }).detach();
      go([] { throw std::runtime_error("the first"); });
      g_first.lock();
      takes_first();
    });
  });
}

void expect_whole_crowd(const Child& child) {
  EXPECT_TRUE(child.aborted()) << child.status;
  EXPECT_TRUE(child.begins("panic: the first\n")) << child.error.substr(0, 200);
  for (int i = 0; i < kCrowd; ++i) {
    std::string const name = "]: one of a crowd, number " + std::to_string(i) + "\n";
    std::size_t const at = child.error.find(name);
    EXPECT_NE(at, std::string::npos) << i;
    EXPECT_EQ(child.error.find(name, at + 1), std::string::npos) << i;
  }
}

// Others that come to their end meanwhile, or exit, do not cut it short.
TEST(MisuseDump, another_fatal_error_meanwhile) {
  auto const child = dies_and([] { go([] { Mutex().unlock(); }); });
  expect_whole_crowd(child);
  EXPECT_FALSE(child.says("unlock of unlocked mutex"));
}

// what() is the program's. Something is told, also if it comes to another end.
template <class End>
Child dies_in_what() {
  struct Bad final : std::exception {
    [[nodiscard]] const char* what() const noexcept override {
      End()();
      return "";
    }
  };
  return in_child([] {
    (void)run([] {
      go([] { throw Bad(); });
      (void)make_chan<int>().recv();
    });
  });
}

TEST(MisuseDump, an_exception_without_text) {
  struct Null final : std::exception {
    [[nodiscard]] const char* what() const noexcept override { return nullptr; }
  };
  auto const child = in_child([] {
    (void)run([] {
      go([] { throw Null(); });
      (void)make_chan<int>().recv();
    });
  });
  EXPECT_TRUE(child.aborted()) << child.status;
  EXPECT_TRUE(child.begins("panic: (what() is null)\n\ngoroutine ")) << child.error;
}

// It comes last, and sees the exception.
TEST(MisuseDump, an_exception_where_the_program_has_a_terminate_handler) {
  auto const child = in_child([] {
    (void)std::set_terminate([] {
      try {
        std::rethrow_exception(std::current_exception());
      } catch (const std::runtime_error& e) {
        std::fprintf(stderr, "handler: %s\n", e.what());
      }
      std::_Exit(3);
    });
    (void)run([] {
      start_sleeper();
      go([] { throw std::runtime_error("lost"); });
      (void)make_chan<int>().recv();
    });
  });
  EXPECT_TRUE(child.exited_with(3)) << child.status;
  EXPECT_TRUE(child.begins("panic: lost\n\ngoroutine ")) << child.error;
  expect_sleeper(child);
  std::string const last = "\nhandler: lost\n";
  ASSERT_GE(child.error.size(), last.size());
  EXPECT_EQ(child.error.substr(child.error.size() - last.size()), last);
}

TEST(MisuseDump, an_exception_whose_text_throws) {
  struct Throw {
    void operator()() const { throw 1; }
  };
  auto const child = dies_in_what<Throw>();
  EXPECT_TRUE(child.aborted()) << child.status;
  EXPECT_TRUE(child.begins("panic: \nterminate called by what is called meanwhile\n"))
      << child.error;
  EXPECT_TRUE(child.says("[running]:\n")) << child.error;
}

TEST(MisuseDump, an_exception_whose_text_dies) {
  struct Misuse {
    void operator()() const { Mutex().unlock(); }
  };
  auto const child = dies_in_what<Misuse>();
  EXPECT_TRUE(child.aborted()) << child.status;
  EXPECT_TRUE(child.begins("panic: fatal error: sync: unlock of unlocked mutex\n")) << child.error;
}

TEST(MisuseDump, another_exception_meanwhile) {
  auto const child =
      dies_and([] { std::thread([] { throw std::runtime_error("2nd"); }).detach(); });
  expect_whole_crowd(child);
}

#if !defined(HAMGAM_TSAN) && !defined(HAMGAM_ASAN)  // which have handlers of their own

TEST(MisuseDump, a_fault_meanwhile) {
  static int* volatile nowhere = nullptr;
  auto const child = dies_and([] { std::thread([] { *nowhere = 1; }).detach(); });
  expect_whole_crowd(child);
}

// The frame pointer that was saved is made a wild one, by which the caller's frame is found.
__attribute__((noinline)) void fault_on_a_damaged_stack() {
  auto** const frame = static_cast<void**>(__builtin_frame_address(0));
  *static_cast<void* volatile*>(frame) = reinterpret_cast<void*>(0x4141414141410000);
  static int* volatile nowhere = nullptr;
  *nowhere = 1;
}

TEST(MisuseDump, an_exception_whose_text_faults) {
  struct Fault {
    void operator()() const {
      static int* volatile nowhere = nullptr;
      *nowhere = 1;
    }
  };
  auto const child = dies_in_what<Fault>();
  EXPECT_TRUE(WIFSIGNALED(child.status) && WTERMSIG(child.status) == SIGSEGV) << child.status;
  EXPECT_TRUE(child.begins("panic: fatal error: invalid memory address")) << child.error;
}

// There is no function, and so no stack; the others are told of all the same.
TEST(MisuseDump, a_call_of_nothing) {
  for (std::uintptr_t const address : {std::uintptr_t{0}, std::uintptr_t{0x1234}}) {
    auto child = in_child([address] {
      (void)run([address] {
        start_sleeper();
        volatile auto const nothing = address;
        reinterpret_cast<void (*)()>(nothing)();
      });
    });
    EXPECT_TRUE(WIFSIGNALED(child.status) && WTERMSIG(child.status) == SIGSEGV) << child.status;
    EXPECT_TRUE(child.says("[running]:\n(no stack: what was called is no function")) << child.error;
    expect_sleeper(child);
  }
}

// The program's handler calls ours, with the signal blocked; who looks for the stack faults once
// more, as it is damaged.
TEST(MisuseDump, a_fault_in_the_dump_below_another_handler) {
  static struct sigaction former;
  auto child = in_child([] {
    (void)run([] {
      start_sleeper();
      struct sigaction action {};
      action.sa_sigaction = [](int signal, siginfo_t* info, void* context) {
        former.sa_sigaction(signal, info, context);
      };
      action.sa_flags = SA_SIGINFO | SA_ONSTACK;
      sigaction(SIGSEGV, &action, &former);
      fault_on_a_damaged_stack();
    });
  });
  EXPECT_TRUE(WIFSIGNALED(child.status) && WTERMSIG(child.status) == SIGSEGV) << child.status;
  expect_sleeper(child);
}

// Who told it all is not among the others.
TEST(MisuseDump, a_fault_is_told_once) {
  static int* volatile nowhere = nullptr;
  auto child = in_child([] {
    (void)run([] {
      start_sleeper();
      *nowhere = 1;
    });
  });
  std::size_t const first = child.error.find("\ngoroutine 1 [running]:\n");
  EXPECT_NE(first, std::string::npos) << child.error;
  EXPECT_EQ(child.error.find("\ngoroutine 1 [", first + 1), std::string::npos) << child.error;
  expect_sleeper(child);
}

TEST(MisuseDump, a_fault_that_was_sent) {
  auto child = in_child([] {
    (void)run([] {
      start_sleeper();
      std::raise(SIGSEGV);
    });
  });
  EXPECT_TRUE(WIFSIGNALED(child.status) && WTERMSIG(child.status) == SIGSEGV) << child.status;
  expect_sleeper(child);
}

#endif

TEST(MisuseDump, exit_meanwhile) {
  auto const child = dies_and([] {
    std::thread([] { std::exit(3); }).detach();
    // Long enough for an exit that does not wait to be over.
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
  });
  expect_whole_crowd(child);
}

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
  // What came after these lines stands before them.
  EXPECT_TRUE(child.says("SIGQUIT: quit\n\ngoroutine 1 [")) << child.error;
  EXPECT_TRUE(child.says("went on\n")) << child.error;
}

#if !defined(HAMGAM_TSAN)  // which keeps the signal back there, and starts no thread

#if !defined( \
    HAMGAM_ASAN)  // whose allocator's locks are another thread's there, which may just start

// A program without goroutines that makes itself a daemon, say.
TEST(MisuseDump, quit_asked_for_again_in_a_forked_child) {
  if (test::emulated()) {
    return;  // an emulator starts no thread in the child of a fork
  }
  auto child = in_child([] {
    observe::install_signal_handler();
    pid_t const forked = fork();
    if (forked == 0) {
      alarm(60);
      observe::install_signal_handler();
      Captured captured;
      std::raise(SIGQUIT);
      (void)captured.until({"SIGQUIT: quit\n"});
      _exit(0);
    }
    int status = -1;
    waitpid(forked, &status, 0);
    std::fputs(status == 0 ? "told\n" : "no\n", stderr);
  });
  EXPECT_TRUE(child.succeeded());
  EXPECT_TRUE(child.says("told\n")) << child.error;
}

#endif

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
