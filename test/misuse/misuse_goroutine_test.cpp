// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <regex>
#include <stdexcept>
#include <string>
#include <thread>

#include "hamgam/hamgam.h"
#include "support/child.h"

// What ends the process, and in what words.

namespace hamgam {
namespace {

using test::Child;
using test::in_child;

[[noreturn]] void sleep_for_ever() {
  for (;;) {
    std::this_thread::sleep_for(std::chrono::hours(1));
  }
}

// SC12: "panic: <what>", then the goroutine that panicked, as running, before all others.
TEST(MisuseGoroutine, SC12_exception_escapes) {
  auto child = in_child([] {
    go([] { throw std::runtime_error("it broke"); });
    sleep_for_ever();
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins("panic: it broke\n\ngoroutine ")) << child.error;
  EXPECT_TRUE(child.says(" [running]:\n")) << child.error;
  EXPECT_TRUE(child.says("\ncreated by a plain thread at ")) << child.error;
}

TEST(MisuseGoroutine, exception_escapes_a_named_one) {
  auto child = in_child([] {
    (void)run([] {
      go(GoOptions{.name = "the reader"}, [] { throw Panic("send on closed channel"); });
      sleep(std::chrono::hours(1));
    });
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins("panic: send on closed channel\n\ngoroutine ")) << child.error;
  EXPECT_TRUE(child.says(" [running]: the reader\n")) << child.error;
  EXPECT_TRUE(child.says("\ncreated by goroutine 1 at ")) << child.error;
}

// The stack that threw still stands: destructors on the way did not run.
TEST(MisuseGoroutine, exception_escapes_with_its_stack) {
  auto child = in_child([] {
    go([] {
      struct Guard {
        ~Guard() { std::fputs("unwound", stderr); }
      } const guard;
      throw std::runtime_error("whole");
    });
    sleep_for_ever();
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins("panic: whole\n")) << child.error;
  EXPECT_FALSE(child.says("unwound")) << child.error;
}

TEST(MisuseGoroutine, exception_that_is_no_std_exception) {
  auto child = in_child([] {
    go([] { throw 42; });
    sleep_for_ever();
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins("panic: exception of type int\n\ngoroutine ")) << child.error;
}

void throw_through() { throw std::runtime_error("noexcept"); }

TEST(MisuseGoroutine, exception_in_noexcept) {
  auto child = in_child([] {
    go([]() noexcept { throw_through(); });
    sleep_for_ever();
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins("panic: noexcept\n\ngoroutine ")) << child.error;
}

TEST(MisuseGoroutine, terminate) {
  auto child = in_child([] {
    go([] { std::terminate(); });
    sleep_for_ever();
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins("panic: std::terminate was called\n\ngoroutine ")) << child.error;
}

// On a plain thread nothing changes.
TEST(MisuseGoroutine, terminate_on_a_thread_is_the_programs_own) {
  auto child = in_child([] {
    std::set_terminate([] {
      std::fputs("mine", stderr);
      std::abort();
    });
    (void)run([] {});
    throw std::runtime_error("outside");
  });
  // gtest itself catches what a test throws: the child fails, and nothing of ours is printed.
  EXPECT_FALSE(child.succeeded());
  EXPECT_FALSE(child.says("panic:")) << child.error;
  auto thread = in_child([] {
    std::set_terminate([] {
      std::fputs("mine", stderr);
      std::abort();
    });
    (void)run([] {});
    std::thread([] { throw std::runtime_error("outside"); }).join();
  });
  EXPECT_TRUE(thread.aborted());
  EXPECT_TRUE(thread.begins("mine")) << thread.error;
}

// SC12: a null function, of any kind, in the caller.
TEST(MisuseGoroutine, SC12_null_function) {
  constexpr const char* kText = "fatal error: go of nil func value\n";
  Child const children[] = {
      in_child([] { go(static_cast<void (*)()>(nullptr)); }),
      in_child([] { go(std::function<void()>()); }),
      in_child([] { go(std::function<void(int)>(), 5); }),
      in_child([] {
        WaitGroup group;
        group.go(static_cast<void (*)()>(nullptr));
      }),
      in_child([] {
        struct S {
          void f() {}
        } s;
        void (S::*none)() = nullptr;
        go(none, &s);
      }),
      in_child([] { (void)run([] { go(static_cast<void (*)()>(nullptr)); }); }),
  };
  for (const Child& child : children) {
    EXPECT_TRUE(child.aborted());
    EXPECT_TRUE(child.begins(kText)) << child.error;
  }
}

int dive(int depth, const volatile char* above = "") {  // a pointer: it can't be a loop
  volatile char frame[512];
  frame[0] = *above;
  return depth == 0 ? frame[0] : dive(depth - 1, frame) + frame[0];
}

TEST(MisuseGoroutine, stack_overflow_names_the_goroutine) {
  auto child = in_child([] {
    (void)run([] {
      go(GoOptions{.name = "diver"}, [] { (void)dive(1 << 20); });
      sleep(std::chrono::hours(1));
    });
  });
  EXPECT_TRUE(child.aborted()) << child.status;
  EXPECT_TRUE(child.begins("fatal error: stack overflow\n\ngoroutine ")) << child.error;
  EXPECT_TRUE(child.says(" [running]: diver\n\tits stack has ")) << child.error;
  EXPECT_TRUE(
      std::regex_search(child.error, std::regex("dive[^\n]*\n\t[^\n]+\\(\\+0x[0-9a-f]+\\)\n")))
      << child.error;
  EXPECT_TRUE(child.says("HAMGAM_STACK")) << child.error;
}

TEST(MisuseGoroutine, stack_overflow_of_one_that_came_from_elsewhere) {
  auto child = in_child([] {
    (void)run([] {
      for (int i = 0; i < 20; ++i) {
        go([] { yield(); });
      }
      yield();
      go([] {
        blocking([] {});
        sleep(std::chrono::milliseconds(1));
        (void)dive(1 << 20);
      });
      sleep(std::chrono::hours(1));
    });
  });
  EXPECT_TRUE(child.aborted()) << child.status;
  EXPECT_TRUE(child.begins("fatal error: stack overflow\n\ngoroutine ")) << child.error;
}

// Any other fault is the program's own, and its handler's.
TEST(MisuseGoroutine, other_faults_are_not_ours) {
  auto child = in_child([] {
    std::signal(SIGSEGV, [](int) { _exit(9); });
    void* nowhere = mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    (void)run([nowhere] { *static_cast<volatile int*>(nowhere) = 1; });
  });
  EXPECT_TRUE(child.exited_with(9)) << child.status << child.error;
}

// nullptr as a function does not compile, and neither do things that are none.
template <class F>
concept CanGo = requires(F f) { hamgam::go(f); };
static_assert(!CanGo<std::nullptr_t> && !CanGo<std::string>);

}  // namespace
}  // namespace hamgam
