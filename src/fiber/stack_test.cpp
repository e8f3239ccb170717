// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "fiber/stack.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdint>
#include <cstring>
#include <set>
#include <vector>

#include "os/memory.h"
#include "support/child.h"

namespace hamgam {
namespace {

using detail::Stack;
using detail::StackCache;

TEST(Stack, sizes) {
  for (std::size_t wanted :
       {std::size_t{1}, detail::kMinStackSize, std::size_t{16385}, std::size_t{100000},
        std::size_t{1} << 20, (std::size_t{1} << 20) + 1}) {
    Stack* stack = detail::take_sized_stack(wanted);
    ASSERT_NE(stack, nullptr);
    EXPECT_GE(stack->size, wanted);
    EXPECT_GE(stack->size, detail::kMinStackSize);
    EXPECT_EQ(stack->size, std::size_t{1} << stack->log2);
    EXPECT_EQ(stack->guard, detail::kWideGuard);
    std::memset(stack->bottom, 1, stack->size);  // all of it can be used
    detail::give_sized_stack(stack);
    EXPECT_EQ(detail::take_sized_stack(wanted), stack);  // the last one given comes first
    detail::give_sized_stack(stack);
  }
}

TEST(Stack, a_size_beyond_all_bounds_is_the_largest) {
  for (std::size_t wanted : {detail::kMaxStackSize, SIZE_MAX - 4000, SIZE_MAX}) {
    Stack* stack = detail::take_sized_stack(wanted);
    if (stack != nullptr) {  // an emulator may have no such address space
      EXPECT_EQ(stack->size, detail::kMaxStackSize);
      detail::give_sized_stack(stack);
    }
  }
}

TEST(Stack, top_is_aligned_and_inside) {
  std::vector<Stack*> stacks;
  std::set<std::uintptr_t> offsets;
  for (int i = 0; i < 16; ++i) {
    stacks.push_back(detail::take_sized_stack(32 * 1024));
    ASSERT_NE(stacks.back(), nullptr);
    char* const top = stacks.back()->top();
    char* const end = stacks.back()->bottom + stacks.back()->size;
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(top) % 16, 0U);
    EXPECT_LE(top, end);
    EXPECT_GT(top, end - 1024);
    offsets.insert(static_cast<std::uintptr_t>(end - top));
  }
  EXPECT_GT(offsets.size(), 4U);  // they do not all compete for the same cache sets
  for (Stack* stack : stacks) {
    detail::give_sized_stack(stack);
  }
}

TEST(Stack, guard_faults) {
  for (std::size_t below : {std::size_t{1}, std::size_t{5000}, detail::kWideGuard}) {
    auto child = test::in_child([below] {
      std::signal(SIGSEGV, [](int) { _exit(7); });
      Stack* stack = detail::take_sized_stack(detail::kMinStackSize);
      *static_cast<volatile char*>(stack->bottom) = 1;
      *static_cast<volatile char*>(stack->bottom - below) = 1;
    });
    EXPECT_TRUE(child.exited_with(7)) << child.status << child.error;
  }
}

// The first have wide guards, the others narrow ones, and none overlaps another.
TEST(Stack, guards_of_many) {
  auto child = test::in_child([] {
    std::signal(SIGSEGV, [](int) { _exit(7); });
    std::vector<Stack*> stacks;
    for (std::size_t i = 0; i < detail::kWideGuards + 100; ++i) {
      stacks.push_back(detail::take_sized_stack(detail::kMinStackSize));
    }
    std::size_t narrow = 0;
    for (Stack* stack : stacks) {
      if (stack == nullptr) {
        _exit(1);
      }
      stack->bottom[0] = 'x';
      stack->bottom[stack->size - 1] = 'x';
      narrow += stack->guard == detail::kNarrowGuard ? 1 : 0;
    }
    if (narrow != 100) {
      _exit(2);
    }
    Stack* last = stacks.back();
    *static_cast<volatile char*>(last->bottom - detail::kNarrowGuard) = 1;
  });
  EXPECT_TRUE(child.exited_with(7)) << child.status << child.error;
}

TEST(StackCache, default_size_and_reuse) {
  StackCache cache;
  Stack* first = cache.take();
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(first->size, detail::default_stack_size());
  Stack* second = cache.take();
  EXPECT_NE(first, second);
  cache.give(first);
  EXPECT_EQ(cache.take(), first);
  cache.give(second);
  cache.give(first);
  cache.spill(0);
}

TEST(StackCache, none_is_lost_or_doubled) {
  StackCache cache;
  std::set<Stack*> held;
  for (int i = 0; i < 1000; ++i) {
    Stack* stack = cache.take();
    ASSERT_NE(stack, nullptr);
    ASSERT_TRUE(held.insert(stack).second);
    stack->bottom[stack->size - 1] = 'x';
  }
  for (Stack* stack : held) {
    cache.give(stack);  // more than it keeps: the rest goes to the depot
  }
  cache.spill(0);
  StackCache other;
  std::set<Stack*> again;
  for (int i = 0; i < 1000; ++i) {
    Stack* stack = other.take();
    ASSERT_TRUE(again.insert(stack).second);
  }
  EXPECT_EQ(held, again);  // nothing new was carved
  for (Stack* stack : again) {
    other.give(stack);
  }
  other.spill(0);
}

// What lies unused is given back, all but the few that were used last.
TEST(Stack, trim_gives_memory_back) {
  constexpr std::size_t kSize = 64 * 1024;
  std::vector<Stack*> stacks;
  for (int i = 0; i < 20; ++i) {
    stacks.push_back(detail::take_sized_stack(kSize));
    ASSERT_NE(stacks.back(), nullptr);
    std::memset(stacks.back()->bottom, 'x', stacks.back()->size);
  }
  std::set<Stack*> const all(stacks.begin(), stacks.end());
  for (int round = 0; round < 2; ++round) {
    for (Stack* stack : stacks) {
      detail::give_sized_stack(stack);
    }
    detail::trim_stacks(4);
    int warm = 0;
    for (Stack*& stack : stacks) {
      stack = detail::take_sized_stack(kSize);
      ASSERT_TRUE(all.count(stack) == 1);  // nothing new was carved
      char const first = stack->bottom[0];
      EXPECT_EQ(first, stack->bottom[stack->size - 1]);
      warm += first == 'x' ? 1 : 0;
      std::memset(stack->bottom, 'x', stack->size);
    }
    EXPECT_EQ(warm, 4);
    EXPECT_EQ(std::set<Stack*>(stacks.begin(), stacks.end()), all);
  }
  for (Stack* stack : stacks) {
    detail::give_sized_stack(stack);
  }
}

TEST(Stack, guards_survive_the_trim) {
  auto child = test::in_child([] {
    std::signal(SIGSEGV, [](int) { _exit(7); });
    Stack* stacks[4];
    for (Stack*& stack : stacks) {
      stack = detail::take_sized_stack(detail::kMinStackSize);
      stack->bottom[0] = 'x';
    }
    for (Stack* stack : stacks) {
      detail::give_sized_stack(stack);
    }
    detail::trim_stacks(0);
    for (Stack* stack : stacks) {
      if (stack->bottom[0] != '\0') {
        _exit(1);
      }
    }
    *static_cast<volatile char*>(stacks[2]->bottom - 1) = 1;
  });
  EXPECT_TRUE(child.exited_with(7)) << child.status << child.error;
}

}  // namespace
}  // namespace hamgam
