// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "fiber/stack.h"

#include <algorithm>
#include <bit>
#include <mutex>
#include <new>
#include <utility>

#include "base/own_containers.h"
#include "base/own_memory.h"
#include "hamgam/detail/atomic.h"
#include "os/memory.h"
#include "os/spin_lock.h"
#include "os/valgrind.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

#if defined(HAMGAM_TSAN) || defined(HAMGAM_ASAN)
constexpr std::size_t kDefaultStackSize = 1024 * 1024;
#else
constexpr std::size_t kDefaultStackSize = 256 * 1024;
#endif
constexpr std::size_t kSlabBytes = 16 * 1024 * 1024;
constexpr int kClasses = 31;  // by the logarithm of the size

atomic<std::size_t> g_default_size{kDefaultStackSize};

// What all workers share. Thread safety: everything under lock_.
class Depot {
 public:
  // Up to `count` stacks linked by next; null if there is no memory for even one.
  Stack* take(int log2, std::size_t count, std::size_t& taken) noexcept {
    Stack* first = nullptr;
    {
      std::lock_guard const guard(lock_);
      for (taken = 0; taken < count; ++taken) {
        Stack* stack = pop(warm_[log2]);
        if (stack == nullptr) {
          stack = pop(cold_[log2]);
        }
        if (stack == nullptr) {
          break;
        }
        push(first, stack);
      }
      if (first != nullptr) {
        return first;
      }
      first = carve(log2);
    }
    if (first != nullptr) {
      taken = 1;
      // Without the lock: some microseconds.
      if (!install_guard(first->bottom - first->guard, first->guard)) {
        first->guard = 0;
      }
      (void)register_stack(first->bottom, first->bottom + first->size - 1);
    }
    return first;
  }

  // Takes over a chain.
  void give(Stack* first) noexcept {
    std::lock_guard const guard(lock_);
    while (Stack* stack = pop(first)) {
      push(warm_[stack->log2], stack);
    }
  }

  StackTotals totals() noexcept {
    std::lock_guard const guard(lock_);
    return {carved_, carved_bytes_};
  }

  void trim(std::size_t keep) noexcept {
    for (int log2 = 0; log2 < kClasses; ++log2) {
      Stack* const rest = cut(warm_[log2], keep);
      if (rest == nullptr) {
        continue;
      }
      discard(rest);
      std::lock_guard const guard(lock_);
      for (Stack* chain = rest; Stack* stack = pop(chain);) {
        push(cold_[log2], stack);
      }
    }
  }

 private:
  static void push(Stack*& list, Stack* stack) noexcept {
    stack->next = list;
    list = stack;
  }

  static Stack* pop(Stack*& list) noexcept {
    Stack* stack = list;
    if (stack != nullptr) {
      list = stack->next;
    }
    return stack;
  }

  // Takes all behind the first `keep` of the list, which are the ones used last.
  Stack* cut(Stack*& list, std::size_t keep) noexcept {
    std::lock_guard const guard(lock_);
    Stack** at = &list;
    for (; *at != nullptr && keep > 0; --keep) {
      at = &(*at)->next;
    }
    return std::exchange(*at, nullptr);
  }

  // Gives the memory of a chain back; neighbours by one call, as their guards survive it.
  static void discard(Stack* chain) noexcept {
    OwnVector<Stack*> stacks;
    try {
      for (Stack* stack = chain; stack != nullptr; stack = stack->next) {
        stacks.push_back(stack);
      }
    } catch (const std::bad_alloc&) {
      // The others keep their memory until they are used again.
    }
    std::sort(stacks.begin(), stacks.end(),
              [](const Stack* a, const Stack* b) { return a->bottom < b->bottom; });
    for (std::size_t i = 0; i < stacks.size();) {
      char* const start = stacks[i]->bottom;
      char* end = start;
      do {
        end = stacks[i]->bottom + stacks[i]->size;
        ++i;
      } while (i < stacks.size() && stacks[i]->bottom - stacks[i]->guard == end);
      discard_memory(start, static_cast<std::size_t>(end - start));
    }
  }

  // Address space for a stack of that size and its guard, which is not installed yet.
  Stack* carve(int log2) noexcept {
    std::size_t const size = std::size_t{1} << log2;
    if (blocks_left_ == 0) {
      blocks_ = try_make_own_array<Stack>(kBlock);
      if (blocks_ == nullptr) {
        return nullptr;
      }
      blocks_left_ = kBlock;
    }
    std::size_t guard = kNarrowGuard;
    char* start = nullptr;
    if (carved_ < kWideGuards && !address_space_is_limited()) {
      guard = kWideGuard;
      start = cut_off(slabs_[log2], guard + size);
    }
    if (start == nullptr) {
      guard = kNarrowGuard;
      start = cut_off(slabs_[log2], guard + size);
    }
    if (start == nullptr) {
      return nullptr;
    }
    ++carved_;
    carved_bytes_ += size;
    Stack* stack = &blocks_[--blocks_left_];
    stack->next = nullptr;
    stack->bottom = start + guard;
    stack->size = size;
    stack->guard = static_cast<std::uint32_t>(guard);
    stack->log2 = static_cast<std::uint8_t>(log2);
    return stack;
  }

  struct Slab {
    char* next = nullptr;
    char* end = nullptr;
  };

  // The rest of a slab that is too small is address space and no more.
  static char* cut_off(Slab& slab, std::size_t bytes) noexcept {
    if (static_cast<std::size_t>(slab.end - slab.next) < bytes) {
      std::size_t const whole = std::max(bytes, kSlabBytes);
      void* start = reserve_memory(whole);
      if (start == nullptr) {
        return nullptr;
      }
      slab.next = static_cast<char*>(start);
      slab.end = slab.next + whole;
    }
    char* const start = slab.next;
    slab.next += bytes;
    return start;
  }

  static constexpr std::size_t kBlock = 256;

  SpinLock lock_;
  Stack* warm_[kClasses] = {};  // may hold memory
  Stack* cold_[kClasses] = {};  // holds none
  Slab slabs_[kClasses];
  std::size_t carved_ = 0;
  std::size_t carved_bytes_ = 0;
  Stack* blocks_ = nullptr;  // descriptors not used yet; never freed, as slabs never are
  std::size_t blocks_left_ = 0;
};

constinit Depot g_depot;

int class_of(std::size_t bytes) noexcept {
  std::size_t const least = std::max(kMinStackSize, page_size());
  return static_cast<int>(std::bit_width(std::clamp(bytes, least, kMaxStackSize) - 1));
}

}  // namespace

void set_default_stack_size(std::size_t bytes) noexcept {
  // relaxed: set once before any stack is made
  g_default_size.store(std::size_t{1} << class_of(bytes), kRelaxed);
}

std::size_t default_stack_size() noexcept {
  return g_default_size.load(kRelaxed);  // relaxed: set once before any stack is made
}

Stack* StackCache::refill() noexcept {
  std::size_t taken = 0;
  Stack* stack = g_depot.take(class_of(default_stack_size()), kCapacity / 2, taken);
  if (stack != nullptr) {
    first_ = stack->next;
    count_ = taken - 1;
  }
  return stack;
}

void StackCache::spill(std::size_t keep) noexcept {
  if (count_ <= keep) {
    return;
  }
  // The ones used last stay.
  Stack** at = &first_;
  for (std::size_t kept = 0; kept < keep; ++kept) {
    at = &(*at)->next;
  }
  Stack* rest = *at;
  *at = nullptr;
  count_ = keep;
  g_depot.give(rest);
}

Stack* take_sized_stack(std::size_t bytes) noexcept {
  std::size_t taken = 0;
  Stack* stack = g_depot.take(class_of(bytes), 1, taken);
  return stack;
}

void give_sized_stack(Stack* stack) noexcept {
  stack->next = nullptr;
  g_depot.give(stack);
}

StackTotals stack_totals() noexcept { return g_depot.totals(); }

void trim_stacks(std::size_t keep) noexcept { g_depot.trim(keep); }

void discard_below(const Stack& stack, char* stack_pointer) noexcept {
  if (stack_pointer < stack.bottom || stack_pointer > stack.top()) {
    return;  // it runs on another stack for now: a coroutine of another library's
  }
  constexpr std::ptrdiff_t kRedZone = 128;  // of the System V ABI for x86-64
  auto const page = static_cast<std::ptrdiff_t>(page_size());
  std::ptrdiff_t const unused = (stack_pointer - stack.bottom - kRedZone) / page * page;
  if (unused > 0) {
    discard_memory(stack.bottom, static_cast<std::size_t>(unused));
  }
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
