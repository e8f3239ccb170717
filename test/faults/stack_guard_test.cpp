// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>

#include "fiber/stack.h"
#include "hamgam/hamgam.h"
#include "support/child.h"

// The guard was one page. A frame that is larger, or an array of which only the far end was used,
// stepped over it into another goroutine's stack, and nobody was told. (CMake compiles this file
// without -fstack-clash-protection: with it the compiler touches every page.)

namespace hamgam {
namespace {

using namespace std::chrono_literals;
using test::Child;
using test::in_child;

void use(volatile char* bytes) { asm volatile("" : : "r"(bytes) : "memory"); }

bool told(const Child& child) {
  return child.aborted() && child.begins("fatal error: stack overflow\n\ngoroutine ") &&
         child.says(" [running]: diver\n\tits stack has ");
}

template <class F>
Child dive(F f) {
  return in_child([f] {
    (void)run([f] {
      WaitGroup group;
      Semaphore leave(8);
      leave.acquire(8);
      for (int i = 0; i < 8; ++i) {  // neighbours
        group.go([&leave] { leave.acquire(); });
      }
      yield();
      go(GoOptions{.name = "diver"}, [f] {
        f();
        std::fputs("nobody told", stderr);
        std::_Exit(1);
      });
      sleep(std::chrono::hours(1));
    });
  });
}

// Frames of which only the far end is touched.
template <std::size_t kBytes>
HAMGAM_NOINLINE void eat(int depth) {
  volatile char frame[kBytes];
  frame[0] = 1;
  if (depth > 1) {
    eat<kBytes>(depth - 1);
  }
  use(frame);
}

TEST(StackGuard, is_not_stepped_over_by_many_frames) {
  int const depth = static_cast<int>(detail::default_stack_size() / 4096);
  Child const children[] = {
      dive([depth] { eat<5000>(depth); }),      dive([depth] { eat<10 * 1024>(depth); }),
      dive([depth] { eat<13 * 1024>(depth); }), dive([depth] { eat<22 * 1024>(depth); }),
      dive([depth] { eat<48 * 1024>(depth); }), dive([depth] { eat<200 * 1024>(depth); }),
  };
  for (const Child& child : children) {
    EXPECT_TRUE(told(child)) << child.status << child.error;
  }
}

// An array larger than the stack, used from its far end.
template <std::size_t kBytes>
HAMGAM_NOINLINE void fill() {
  volatile char buffer[kBytes];
  for (std::size_t i = 0; i < 16 * 1024; ++i) {
    buffer[i] = 'A';
  }
  use(buffer);
}

TEST(StackGuard, is_not_stepped_over_by_one_frame) {
  constexpr std::size_t kKilo = 1024;
#if defined(HAMGAM_ASAN) || defined(HAMGAM_TSAN)
  constexpr std::size_t kMore = 768 * kKilo;  // so much larger is the stack by default
#else
  constexpr std::size_t kMore = 0;
#endif
  Child const children[] = {
      dive([] { fill<kMore + 260 * kKilo>(); }),  dive([] { fill<kMore + 300 * kKilo>(); }),
      dive([] { fill<kMore + 500 * kKilo>(); }),  dive([] { fill<kMore + 1000 * kKilo>(); }),
      dive([] { fill<kMore + 1200 * kKilo>(); }),
  };
  for (const Child& child : children) {
    EXPECT_TRUE(told(child)) << child.status << child.error;
  }
}

// A signal that finds no room for its frame.
TEST(StackGuard, is_told_when_a_signal_finds_no_room) {
  auto child = in_child([] {
    std::signal(SIGUSR1, [](int) {});
    (void)run([] {
      go(GoOptions{.name = "diver"}, [] {
        std::size_t const size = detail::default_stack_size();
        auto* const frame = static_cast<volatile char*>(__builtin_alloca(size - 3 * 1024));
        use(frame);
        for (int i = 0; i < 10; ++i) {
          std::raise(SIGUSR1);
        }
        std::_Exit(1);
      });
      sleep(std::chrono::hours(1));
    });
  });
  EXPECT_TRUE(told(child)) << child.status << child.error;
}

}  // namespace
}  // namespace hamgam
