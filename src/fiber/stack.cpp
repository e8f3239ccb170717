// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "fiber/stack.h"

#include <algorithm>
#include <bit>
#include <new>
#include <vector>

#include "hamgam/detail/atomic.h"
#include "os/memory.h"
#include "os/spin_lock.h"

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
    lock_.lock();
    Stack* first = nullptr;
    for (taken = 0; taken < count; ++taken) {
      Stack* stack = free_[log2];
      if (stack == nullptr) {
        break;
      }
      free_[log2] = stack->next;
      stack->next = first;
      first = stack;
    }
    if (first == nullptr) {
      first = carve(log2);
      taken = first != nullptr ? 1 : 0;
    }
    lock_.unlock();
    return first;
  }

  // Takes over a chain.
  void give(Stack* first) noexcept {
    lock_.lock();
    while (first != nullptr) {
      Stack* next = first->next;
      push(first);
      first = next;
    }
    lock_.unlock();
  }

  void trim(std::size_t keep) noexcept {
    std::vector<Stack*> idle;
    lock_.lock();
    for (Stack*& list : free_) {
      // Keeps the first ones of each list: they are the ones used last.
      Stack** at = &list;
      for (std::size_t kept = 0; *at != nullptr && kept < keep; ++kept) {
        at = &(*at)->next;
      }
      while (*at != nullptr) {
        Stack* stack = *at;
        if (stack->resident && add(idle, stack)) {
          *at = stack->next;
        } else {
          at = &stack->next;
        }
      }
    }
    lock_.unlock();
    discard(idle);
    lock_.lock();
    for (Stack* stack : idle) {
      Stack** at = &free_[stack->log2];  // behind the resident ones would be better, and dearer
      stack->next = *at;
      *at = stack;
    }
    lock_.unlock();
  }

 private:
  static bool add(std::vector<Stack*>& list, Stack* stack) noexcept {
    try {
      list.push_back(stack);
      return true;
    } catch (const std::bad_alloc&) {
      return false;
    }
  }

  // Neighbours are given back by one call: their guards survive it.
  static void discard(std::vector<Stack*>& idle) noexcept {
    std::sort(idle.begin(), idle.end(),
              [](const Stack* a, const Stack* b) { return a->bottom < b->bottom; });
    for (std::size_t i = 0; i < idle.size();) {
      char* const start = idle[i]->bottom;
      char* end = start;
      do {
        end = idle[i]->bottom + idle[i]->size;
        idle[i]->resident = false;
        ++i;
      } while (i < idle.size() && idle[i]->guarded && idle[i]->bottom - page_size() == end);
      discard_memory(start, static_cast<std::size_t>(end - start));
    }
  }

  void push(Stack* stack) noexcept {
    stack->next = free_[stack->log2];
    free_[stack->log2] = stack;
  }

  Stack* carve(int log2) noexcept {
    std::size_t const size = std::size_t{1} << log2;
    Slab& slab = slabs_[log2];
    if (slab.next == slab.end) {
      std::size_t const bytes = std::max(size, kSlabBytes);
      void* start = reserve_memory(bytes);
      if (start == nullptr) {
        return nullptr;
      }
      slab.next = static_cast<char*>(start);
      slab.end = slab.next + bytes;
    }
    if (blocks_left_ == 0) {
      blocks_ = new (std::nothrow) Stack[kBlock];
      if (blocks_ == nullptr) {
        return nullptr;
      }
      blocks_left_ = kBlock;
    }
    Stack* stack = &blocks_[--blocks_left_];
    stack->bottom = slab.next + page_size();
    stack->size = size - page_size();
    stack->log2 = static_cast<std::uint8_t>(log2);
    stack->resident = false;
    stack->guarded = install_guard(slab.next);
    stack->next = nullptr;
    slab.next += size;
    return stack;
  }

  struct Slab {
    char* next = nullptr;
    char* end = nullptr;
  };
  static constexpr std::size_t kBlock = 256;

  SpinLock lock_;
  Stack* free_[kClasses] = {};
  Slab slabs_[kClasses];
  Stack* blocks_ = nullptr;  // descriptors not used yet; never freed, as slabs never are
  std::size_t blocks_left_ = 0;
};

constinit Depot g_depot;

int class_of(std::size_t bytes) noexcept {
  return static_cast<int>(std::bit_width(std::clamp(bytes, kMinStackSize, kMaxStackSize) - 1));
}

}  // namespace

void set_default_stack_size(std::size_t bytes) noexcept {
  // relaxed: set once before any stack is made
  g_default_size.store(std::size_t{1} << class_of(bytes), kRelaxed);
}

std::size_t default_stack_size() noexcept {
  return g_default_size.load(kRelaxed);  // relaxed: as above
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
  Stack* stack = g_depot.take(class_of(bytes + page_size()), 1, taken);
  return stack;
}

void give_sized_stack(Stack* stack) noexcept {
  stack->next = nullptr;
  g_depot.give(stack);
}

void trim_stacks(std::size_t keep) noexcept { g_depot.trim(keep); }

}  // namespace hamgam::inline HAMGAM_ABI::detail
