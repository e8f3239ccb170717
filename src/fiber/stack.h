// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Stacks: late-bound, pooled, guarded.
//
// A stack is carved from a slab of address space that costs nothing until touched; below it lies a
// guard. Stacks of the default size are kept in a cache per worker and a depot that all share;
// others only in the depot, by size. The contents of stacks that lie unused in the depot are given
// back to the system now and then (trim_stacks), in batches of neighbours, never on the path of a
// goroutine's end.
//
// The guard. A frame of code that was compiled without -fstack-clash-protection may touch its far
// end first, so a guard catches what is no larger than itself. 64 KiB is the least: so far apart
// AArch64 compilers probe even with that option, and so much the C library puts into an alloca. The
// first kWideGuards stacks have 1 MiB, for the local arrays that people write; more of these would
// cost, since marks in page tables need the tables: 2.5 KiB a stack with 1 MiB, 0.6 KiB with 64.
//
// Rejected: one mmap and mprotect per stack (two mappings each: vm.max_map_count stops it near
// 32,000 stacks), segmented stacks (hot splits), copied stacks (pointers into them go bad).

#include <cstddef>
#include <cstdint>

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

struct Stack {
  Stack* next;          // in a cache or the depot
  char* bottom;         // lowest usable byte; the guard is below
  std::size_t size;     // usable bytes, a power of two
  std::uint32_t guard;  // its bytes; 0: none could be had
  std::uint8_t log2;    // of the size

  // Where execution starts: 16-byte aligned. Differs a little from stack to stack, so that the hot
  // frames of many goroutines do not all compete for the same cache sets.
  [[nodiscard]] char* top() const noexcept {
    auto const page = reinterpret_cast<std::uintptr_t>(bottom) >> log2;
    return bottom + size - (page % 8) * 64;
  }
};

// The default size, a power of two. Set before the first stack is made.
void set_default_stack_size(std::size_t bytes) noexcept;
std::size_t default_stack_size() noexcept;

inline constexpr std::size_t kMinStackSize = 16 * 1024;
inline constexpr std::size_t kMaxStackSize = std::size_t{1} << 30;
inline constexpr std::size_t kWideGuard = 1024 * 1024;
inline constexpr std::size_t kNarrowGuard = 64 * 1024;
inline constexpr std::size_t kWideGuards = 1024;

// Gives back the pages of the stack that lie wholly below the stack pointer of whoever is off it;
// none if that points elsewhere.
void discard_below(const Stack& stack, char* stack_pointer) noexcept;

// A cache of default stacks. Not thread-safe: its worker's.
class StackCache {
 public:
  StackCache() = default;
  StackCache(const StackCache&) = delete;
  StackCache& operator=(const StackCache&) = delete;

  // Null if the system has no memory for one.
  Stack* take() noexcept {
    Stack* stack = first_;
    if (HAMGAM_UNLIKELY(stack == nullptr)) {
      return refill();
    }
    first_ = stack->next;
    --count_;
    return stack;
  }

  void give(Stack* stack) noexcept {
    stack->next = first_;
    first_ = stack;
    if (HAMGAM_UNLIKELY(++count_ > kCapacity)) {
      spill(kCapacity / 2);
    }
  }

  // Moves all but `keep` stacks to the depot.
  void spill(std::size_t keep) noexcept;

 private:
  static constexpr std::size_t kCapacity = 64;

  HAMGAM_NOINLINE Stack* refill() noexcept;

  Stack* first_ = nullptr;
  std::size_t count_ = 0;
};

// A stack of at least `bytes`, straight from the depot. Null if there is no memory for one.
Stack* take_sized_stack(std::size_t bytes) noexcept;
void give_sized_stack(Stack* stack) noexcept;

// How many stacks there are, and their usable bytes. (Memory is only what was touched of them.)
struct StackTotals {
  std::size_t stacks;
  std::size_t bytes;
};
StackTotals stack_totals() noexcept;

// Gives the memory of unused stacks back, all but `keep` of them.
void trim_stacks(std::size_t keep) noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
