// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// A snapshot in Go's form:
//
//   goroutine 18 [chan receive, 3 minutes]: name
//   function
//           file(+0x1234)
//   created by goroutine 1 at function
//           file(+0x1100)
//
// Several that do the same are one paragraph: "goroutines 18, 19, 20 ... (998 in all) [...]:".

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "sched/snapshot.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// A function and where it is, as text; each address is looked up once.
class Symbols {
 public:
  // Whose code is in a function. Both: an instance of a template of the library's headers, into
  // which the compiler may have put the program's.
  enum Owner : unsigned char { kOthers, kStandard, kLibrary, kBoth };

  struct Place {
    std::string function;  // readable; "??" if it is not known
    std::string where;     // "file(+0x1234)", or the address
    Owner owner = kOthers;
  };
  // `address`: in an instruction, not behind it.
  const Place& at(const void* address);

 private:
  std::unordered_map<const void*, Place> places_;
};

// Which of a group's frames are for people to see: at both ends those are left out that have
// nothing but the library's code; if that is all, there are none.
struct ShownFrames {
  std::size_t first;
  std::size_t end;
};
ShownFrames shown_frames(const Snapshot::Group& group, Symbols& symbols);

using Write = void (*)(void* to, std::string_view text);

// Throws std::bad_alloc, and what `write` throws.
void write_snapshot(const Snapshot& snapshot, Write write, void* to,
                    std::size_t most_groups = SIZE_MAX);

// The paragraphs of all others but the running goroutine to standard error, in a process that dies.
// Who dies does not wait for ever for somebody to read that: it ends where nobody takes any for
// kDumpPatience.
void dump_others() noexcept;
inline constexpr Nanos kDumpPatience = 5'000 * kMillisecond;

// Changes while it gets on.
std::uint32_t dump_progress() noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
