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

  // The first of some return addresses that is in the program's own code, and not in the library's,
  // nor in the standard library's guards; or else the first of all. They end with a null.
  const Place& of_program(const void* const* frames, std::size_t count);

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

// One who has the lock that others wait for, and where it was taken.
struct LockOwner {
  static constexpr std::size_t kFrames = 6;
  std::uint64_t goroutine = 0;  // 0: a plain thread,
  int thread = 0;               // with this number
  bool shares = false;          // has it to read
  bool has_ended = false;       // with the lock
  const void* frames[kFrames] = {};
};

// Looks for those who have a lock, as far as that is known: writes `most` of them at most, and
// returns how many there are. A layer above says how; null: nobody knows.
using FindOwners = std::size_t (*)(const void* lock, LockOwner* owners, std::size_t most) noexcept;
void set_find_owners(FindOwners find) noexcept;

// The same of what a goroutine waits for that waits for this reason.
std::size_t find_owners(std::string_view reason, const void* object, LockOwner* owners,
                        std::size_t most) noexcept;

using Write = void (*)(void* to, std::string_view text);

// Throws std::bad_alloc, and what `write` throws.
void write_snapshot(const Snapshot& snapshot, Write write, void* to,
                    std::size_t most_groups = SIZE_MAX);

// The paragraphs of all goroutines but one to standard error, in a process that dies.
// It ends where nobody reads that (death.h). Then the flight recorder is written, if there is one
// (trace.h).
void dump_others(const Goroutine* told) noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
