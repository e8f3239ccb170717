// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// What is printed when a program dies: the stack also of what escapes the main goroutine, and names
// of functions though the program does not export them.
#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>

#include "hamgam/hamgam.h"
#include "os/symbols.h"
#include "support/child.h"
#include "support/scale.h"

namespace {

using hamgam::run;
using hamgam::test::in_child;
using hamgam::test::kSanitized;

[[gnu::noinline]] void task_that_throws() { throw std::runtime_error("bad input"); }

// On a thread, because GoogleTest catches what comes out of a test.
template <class Main>
void run_uncaught(Main main) {
  std::thread([main] { (void)run(main); }).join();
}

TEST(Traces, main_panic_trace) {
  auto child = in_child([] {
    run_uncaught([] {
      auto values = hamgam::make_chan<int>();
      values.close();
      values.send(1);
    });
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins("panic: send on closed channel\n\ngoroutine 1 [running]:\n"))
      << child.error;
}

TEST(Traces, main_panic_trace_of_a_task) {
  auto child = in_child([] { run_uncaught([] { hamgam::spawn(task_that_throws).get(); }); });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins("panic: bad input\n\nthrown by goroutine ")) << child.error;
  EXPECT_TRUE(child.says("task_that_throws()\n")) << child.error;
}

TEST(Traces, main_panic_trace_of_a_group) {
  auto child = in_child([] {
    run_uncaught([] {
      hamgam::ErrGroup group;
      group.go(task_that_throws);
      group.wait();
    });
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins("panic: bad input\n\nthrown by goroutine ")) << child.error;
  EXPECT_TRUE(child.says("task_that_throws()\n")) << child.error;
}

TEST(Traces, what_escapes_main_can_be_caught) {
  for (int i = 0; i < 3; ++i) {
    try {
      (void)run(task_that_throws);
      ADD_FAILURE();
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "bad input");
    }
  }
}

// What the program installed for such a case is called after the text.
TEST(Traces, a_terminate_handler_of_the_program) {
  auto child = in_child([] {
    std::set_terminate([] {
      std::fputs("the program's\n", stderr);
      std::_Exit(3);
    });
    run_uncaught(task_that_throws);
  });
  EXPECT_TRUE(child.exited_with(3)) << child.error;
  EXPECT_TRUE(child.begins("panic: bad input\n")) << child.error;
  EXPECT_TRUE(child.says("the program's\n")) << child.error;
}

TEST(Traces, functions_that_are_not_exported_have_names) {
  auto child = in_child([] {
    (void)run([] {
      hamgam::WaitGroup group;
      group.go([] { task_that_throws(); });
      group.wait();
    });
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.says("task_that_throws()\n")) << child.error;
  EXPECT_TRUE(child.says("{lambda()#1}::operator()")) << child.error;
}

TEST(Traces, find_symbol_knows_what_it_can) {
  hamgam::detail::Symbol const own =
      hamgam::detail::find_symbol(reinterpret_cast<const void*>(&task_that_throws));
  ASSERT_NE(own.name, nullptr);
  EXPECT_NE(std::string(own.name).find("task_that_throws"), std::string::npos);
  ASSERT_NE(own.file, nullptr);
  int local = 0;
  EXPECT_EQ(hamgam::detail::find_symbol(&local).name, nullptr);
  EXPECT_EQ(hamgam::detail::find_symbol(nullptr).name, nullptr);
}

__attribute__((noinline, no_sanitize("undefined"))) void write_to(volatile int* address) {
  *address = 1;
}

// The process dies by the signal as ever; what it was at is printed. (Sanitizers tell themselves.)
TEST(Traces, a_null_pointer) {
  auto child = in_child([] {
    (void)run([] {
      hamgam::WaitGroup group;
      group.go(hamgam::GoOptions{.name = "writer"}, [] { write_to(nullptr); });
      group.wait();
    });
  });
  if (kSanitized) {
    EXPECT_FALSE(child.succeeded());
    return;
  }
  EXPECT_TRUE(WIFSIGNALED(child.status) && WTERMSIG(child.status) == SIGSEGV) << child.status;
  EXPECT_TRUE(
      child.begins("fatal error: invalid memory address or null pointer dereference\n\ngoroutine "))
      << child.error;
  EXPECT_TRUE(child.says(" [running]: writer\n")) << child.error;
  EXPECT_TRUE(child.says("write_to")) << child.error;
}

// Who looks for names may be struck itself, by a file that was cut short while it was mapped.
TEST(Traces, a_fault_while_names_are_looked_for) {
  auto child = in_child([] {
    (void)run([] {
      hamgam::WaitGroup group;
      group.go(hamgam::GoOptions{.name = "writer"}, [] {
        hamgam::detail::hold_symbols();
        write_to(nullptr);
      });
      group.wait();
    });
  });
  if (kSanitized) {
    EXPECT_FALSE(child.succeeded());
    return;
  }
  EXPECT_TRUE(WIFSIGNALED(child.status) && WTERMSIG(child.status) == SIGSEGV) << child.status;
  EXPECT_TRUE(child.says(" [running]: writer\n")) << child.error;
  EXPECT_TRUE(child.says("\n??\n")) << child.error;  // what is not exported has no name then
}

// A handler of the program has precedence, whenever it was installed.
TEST(Traces, a_null_pointer_and_the_programs_handler) {
  for (bool const early : {true, false}) {
    auto child = in_child([early] {
      auto install = [] { (void)std::signal(SIGSEGV, [](int) { std::_Exit(3); }); };
      if (early) {
        install();
      }
      (void)run([&] {
        if (!early) {
          install();
        }
        write_to(nullptr);
      });
    });
    EXPECT_TRUE(child.exited_with(3)) << child.status << child.error;
    EXPECT_EQ(child.error, "");
  }
}

// Named goroutines end while a dump looks at them.
TEST(Traces, a_dump_beside_ends) {
  auto child = in_child([] {
    (void)run([] {
      std::atomic<int> begun{0};
      for (int i = 0; i < 4; ++i) {
        hamgam::go([&] {
          for (;;) {
            hamgam::WaitGroup group;
            group.go(hamgam::GoOptions{.name = std::string(100, 'n')}, [] { hamgam::yield(); });
            group.wait();
            ++begun;
          }
        });
      }
      while (begun < 100) {
        hamgam::yield();
      }
      hamgam::Mutex().unlock();
    });
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins("fatal error: sync: unlock of unlocked mutex\n")) << child.error;
}

}  // namespace
