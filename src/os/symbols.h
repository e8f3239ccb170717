// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include <cstddef>

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

struct Symbol {
  const char* name = nullptr;  // mangled; null: not known
  const char* file = nullptr;  // the program or library; null: none
  std::ptrdiff_t offset = 0;   // in the file's image
};

// What function an address is in. By the file's own table of symbols, which names functions that
// are not exported, too (so a program need not be linked with -rdynamic), and else, if it is
// stripped, by the dynamic one. Needs no memory from the heap; for programs that are about to die:
// what it has looked at stays mapped.
Symbol find_symbol(const void* address) noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
