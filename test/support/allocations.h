// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Counts what the program allocates by new, or refuses it: replaces the program's operators, so
// include it in one file of a program.

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace hamgam::test {

inline std::atomic<std::size_t> g_allocations{0};
inline std::atomic<std::size_t> g_deletions{0};

// There is no memory for new while this is set.
inline std::atomic<bool> g_none_left{false};

// The so-many-th allocation from now on is refused; 0: none. It is 0 again once that was.
inline std::atomic<long> g_refused_in{0};

// How often any thread has allocated; 0 under ThreadSanitizer, where clang does not let us replace
// its operators.
inline std::size_t allocations() { return g_allocations.load(); }

// How many of them are still there, likewise; while others allocate, some number in between.
inline std::size_t allocated() { return g_allocations.load() - g_deletions.load(); }

}  // namespace hamgam::test

#if !defined(HAMGAM_TSAN)
namespace hamgam::test {
inline bool is_refused() {
  return g_none_left || (g_refused_in > 0 && g_refused_in.fetch_sub(1) == 1);
}
inline void* counted(void* memory) {
  g_allocations += memory != nullptr ? 1 : 0;
  return memory;
}
}  // namespace hamgam::test

// All forms, for AddressSanitizer has its own of those that are not replaced; not inline, or gcc
// takes malloc and delete for a mismatch.
#define NOT_INLINE __attribute__((noinline))
NOT_INLINE void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return hamgam::test::is_refused() ? nullptr : hamgam::test::counted(std::malloc(size));
}
NOT_INLINE void* operator new(std::size_t size) {
  if (void* memory = operator new(size, std::nothrow)) {
    return memory;
  }
  throw std::bad_alloc();
}
NOT_INLINE void* operator new[](std::size_t size) { return operator new(size); }
NOT_INLINE void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
  return operator new(size, std::nothrow);
}
NOT_INLINE void operator delete(void* memory) noexcept {
  hamgam::test::g_deletions += memory != nullptr ? 1 : 0;
  std::free(memory);
}
NOT_INLINE void operator delete(void* memory, std::size_t) noexcept { operator delete(memory); }
NOT_INLINE void operator delete[](void* memory) noexcept { operator delete(memory); }
NOT_INLINE void operator delete[](void* memory, std::size_t) noexcept { operator delete(memory); }
#undef NOT_INLINE
#endif
