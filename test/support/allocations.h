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

// There is no memory for new while this is set.
inline std::atomic<bool> g_none_left{false};

// The so-many-th allocation from now on is refused; 0: none. It is 0 again once that was.
inline std::atomic<long> g_refused_in{0};

// How often any thread has allocated; 0 under ThreadSanitizer, where clang does not let us replace
// its operators.
inline std::size_t allocations() { return g_allocations.load(); }

}  // namespace hamgam::test

#if !defined(HAMGAM_TSAN)
namespace hamgam::test {
inline bool is_refused() {
  return g_none_left || (g_refused_in > 0 && g_refused_in.fetch_sub(1) == 1);
}
}  // namespace hamgam::test

// All forms, for AddressSanitizer has its own of those that are not replaced; not inline, or gcc
// takes malloc and delete for a mismatch.
#define NOT_INLINE __attribute__((noinline))
NOT_INLINE void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  ++hamgam::test::g_allocations;
  return hamgam::test::is_refused() ? nullptr : std::malloc(size);
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
NOT_INLINE void operator delete(void* memory) noexcept { std::free(memory); }
NOT_INLINE void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
NOT_INLINE void operator delete[](void* memory) noexcept { std::free(memory); }
NOT_INLINE void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
#undef NOT_INLINE
#endif
