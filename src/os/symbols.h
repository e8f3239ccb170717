// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include <cstddef>
#include <string>

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

struct Symbol {
  const char* name = nullptr;  // mangled; null: not known
  const char* file = nullptr;  // the program or library; null: none
  std::ptrdiff_t offset = 0;   // in the file's image
};

// What function an address is in. By the file's own table of symbols, which names functions that
// are not exported, too (so a program need not be linked with -rdynamic), and else, if it is
// stripped or not the one any more that was loaded, by the dynamic one. Needs no memory from the
// heap. What it has looked at stays mapped: 64 files at most, but for those whose libraries are
// unloaded. The strings are good until the library is.
//
// May be called in the handler of a fault, also of one that struck another such call (a file that
// was cut short while it is mapped): then only the dynamic table is asked. The loader's own lock,
// which dladdr takes, is recursive; if another thread holds it, this waits until it is done.
Symbol find_symbol(const void* address) noexcept;

// The name, readable, of the variable at an address, "a+8" inside of one; empty: it is none that
// has one, as on a stack. Not in a handler. Throws std::bad_alloc.
std::string find_object(const void* address);

// For tests: as if such a call had been interrupted for good.
void hold_symbols() noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
