// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <utility>

#include "fiber/stack.h"
#include "hamgam/hamgam.h"
#include "support/child.h"

// HAMGAM_PROCS, HAMGAM_BLOCKING and HAMGAM_STACK: what is no number within the limits gives one
// line and the default.

namespace hamgam {
namespace {

using test::Child;
using test::in_child;

// Starts the runtime and prints what it took the variables for.
Child started_with(const std::string& setting) {
  return in_child(
      [] {
        int const procs = max_procs();
        std::size_t stack = 0;
        (void)run([&] { stack = detail::default_stack_size(); });
        std::fprintf(stderr, "procs %d stack %zu blocking %d\n", procs, stack, max_blocking());
      },
      {setting});
}

TEST(MisuseEnvironment, good_values) {
  Child procs = started_with("HAMGAM_PROCS=7");
  EXPECT_TRUE(procs.begins("procs 7 stack ")) << procs.error;
  Child stack = started_with("HAMGAM_STACK=1048576");
  EXPECT_TRUE(stack.says(" stack 1048576 blocking 10000\n")) << stack.error;
  EXPECT_EQ(std::count(stack.error.begin(), stack.error.end(), '\n'), 1) << stack.error;
  Child blocking = started_with("HAMGAM_BLOCKING=31744");
  EXPECT_TRUE(blocking.says(" blocking 31744\n")) << blocking.error;
  Child most = started_with("HAMGAM_PROCS=1024");
  EXPECT_TRUE(most.begins("procs 1024 ")) << most.error;
}

TEST(MisuseEnvironment, bad_values) {
  Child const usual = started_with("HAMGAM_PROCS=");  // empty is not set
  EXPECT_TRUE(usual.begins("procs ")) << usual.error;
  for (const char* value : {"0", "-1", "x", "4x", " 4", "4 ", "1025", "+4", "0x4", "1e3", "4.0",
                            "18446744073709551617", "99999999999999999999999"}) {
    Child const child = started_with(std::string("HAMGAM_PROCS=") + value);
    EXPECT_EQ(child.error, "hamgam: HAMGAM_PROCS=\"" + std::string(value) +
                               "\" ignored: a whole number from 1 to 1024 is wanted\n" +
                               usual.error);
  }
  for (const char* value : {"0", "31745", "-3", "1k", "all"}) {
    Child const child = started_with(std::string("HAMGAM_BLOCKING=") + value);
    EXPECT_EQ(child.error, "hamgam: HAMGAM_BLOCKING=\"" + std::string(value) +
                               "\" ignored: a whole number from 1 to 31744 is wanted\n" +
                               usual.error);
  }
  for (const char* value : {"0", "100", "16383", "1073741825", "64K", "-65536", "many"}) {
    Child const child = started_with(std::string("HAMGAM_STACK=") + value);
    EXPECT_EQ(child.error, "hamgam: HAMGAM_STACK=\"" + std::string(value) +
                               "\" ignored: a whole number from 16384 to 1073741824 is wanted\n" +
                               usual.error);
  }
}

TEST(MisuseEnvironment, words) {
  for (const char* value : {"", "locks", "waits,stuck,locks", ",locks,,"}) {
    Child const child = started_with(std::string("HAMGAM_DEBUG=") + value);
    EXPECT_TRUE(child.begins("procs ")) << child.error;
  }
  for (auto const& [value, word] : {std::pair("lock", "lock"), std::pair("locks,LOCKS", "LOCKS"),
                                    std::pair("locks waits", "locks waits")}) {
    Child const child = started_with(std::string("HAMGAM_DEBUG=") + value);
    EXPECT_TRUE(
        child.begins("hamgam: HAMGAM_DEBUG: \"" + std::string(word) +
                     "\" ignored: locks, mutexes, stuck and waits are wanted, with commas between\n"
                     "procs "))
        << child.error;
  }
}

// The stack of that size can be used, and no more than that.
TEST(MisuseEnvironment, stack_size_is_what_there_is) {
  auto dive = [](int bytes) {
    (void)run([bytes] {
      struct Dive {
        static int down(int left, const volatile char* above) {  // a pointer: it can't be a loop
          volatile char frame[1024];
          frame[0] = *above;
          return left <= 0 ? frame[0] : down(left - 1024, frame) + frame[0];
        }
      };
      (void)Dive::down(bytes, "");
    });
  };
  auto fits = in_child([&] { dive(300 * 1024); }, {"HAMGAM_STACK=4194304"});
  EXPECT_TRUE(fits.succeeded()) << fits.error;
  auto overflows = in_child([&] { dive(8 * 1024 * 1024); }, {"HAMGAM_STACK=4194304"});
  EXPECT_TRUE(overflows.aborted());
  EXPECT_TRUE(overflows.begins("fatal error: stack overflow\n")) << overflows.error;
}

}  // namespace
}  // namespace hamgam
