// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

struct FreeText {
  void operator()(char* text) const noexcept { std::free(text); }
};
using Text = std::unique_ptr<char, FreeText>;

// A type's or function's mangled name as people read it. Null: it is none, or too long, or there is
// no memory.
//
// The C++ runtime does that in up to 350 bytes of stack for each of the name's, of which there may
// be a thousand; a goroutine's stack may have 16 KiB. Where it has no room for that, a thread is
// started.
Text readable(const char* name) noexcept;

// The same of a function's. Those of C are not mangled: the type that "i" or "m" would be is none.
Text readable_function(const char* name) noexcept;

// For names that the program gave: what is printed stays on its line, and is no terminal's command.
inline char printable(char c) noexcept {
  auto const byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte == 0x7F ? '?' : c;
}
inline std::string printable(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(), [](char c) { return printable(c); });
  return name;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
