// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Memory that is not asked of operator new: that may be the program's own, and take a lock, perhaps
// the very one that is being watched at the moment; or wait, so that nothing may be asked of it
// under a SpinLock. As operator new it throws std::bad_alloc.

#include <cstddef>
#include <cstdlib>
#include <new>

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

inline void* take_own_memory(std::size_t size) {
  void* const memory = std::malloc(size);
  if (memory == nullptr) {
    throw std::bad_alloc();
  }
  return memory;
}

// A base of those that are made by new.
struct InOwnMemory {
  static void* operator new(std::size_t size) { return take_own_memory(size); }
  static void* operator new(std::size_t size, const std::nothrow_t& /*tag*/) noexcept {
    return std::malloc(size);
  }
  static void operator delete(void* memory) noexcept { std::free(memory); }
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
