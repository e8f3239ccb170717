// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Memory that is not asked of operator new: that may be the program's own, and take a lock, perhaps
// the very one that is being watched at the moment; or wait, so that nothing may be asked of it
// under a SpinLock. As operator new it throws std::bad_alloc.

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <utility>

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

inline void* take_own_memory(std::size_t size) {
  void* const memory = std::malloc(size);
  if (memory == nullptr) {
    throw std::bad_alloc();
  }
  return memory;
}

// Null: there is none. As much as is aligned beyond the usual, too; freed by std::free.
inline void* try_own_memory(std::size_t size, std::size_t alignment) noexcept {
  return alignment <= alignof(std::max_align_t)
             ? std::malloc(size)
             : std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

// Made without operator new; null: there is no memory.
template <class T, class... Args>
T* try_make_own(Args&&... args) noexcept {
  void* const memory = try_own_memory(sizeof(T), alignof(T));
  return memory != nullptr ? ::new (memory) T(std::forward<Args>(args)...) : nullptr;
}

// So many, which are never destroyed.
template <class T>
T* try_make_own_array(std::size_t count) noexcept {
  void* const memory = try_own_memory(count * sizeof(T), alignof(T));
  if (memory == nullptr) {
    return nullptr;
  }
  auto* const first = static_cast<T*>(memory);
  std::uninitialized_default_construct_n(first, count);
  return first;
}

// Ends what try_make_own has made; nothing for null.
template <class T>
void drop_own(T* one) noexcept {
  if (one != nullptr) {
    one->~T();
    std::free(one);
  }
}

// A base of those that are made by new, and need no alignment beyond the usual.
struct InOwnMemory {
  static void* operator new(std::size_t size) { return take_own_memory(size); }
  static void* operator new(std::size_t size, const std::nothrow_t& /*tag*/) noexcept {
    return std::malloc(size);
  }
  static void operator delete(void* memory) noexcept { std::free(memory); }
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
