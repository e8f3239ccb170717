// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// What a debugger needs to find all goroutines in a process or a core, though the library has no
// debug information: where the lists begin, and where in the records is what.
// tools/gdb/hamgam-gdb.py reads it, in this order: whoever changes anything here raises kVersion,
// there too.

#include <cstddef>
#include <cstdint>

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

struct DebugLayout {
  static constexpr std::uint32_t kVersion = 1;
  static constexpr std::size_t kMostRegisters = 8;

  // One that a switch saves; the others are lost, or of no use to anybody.
  struct Register {
    char name[8] = {};  // as debuggers call it; empty: no more
    std::uint64_t offset = 0;
  };

  char magic[8] = {'h', 'a', 'm', 'g', 'a', 'm', '\0', '\0'};
  std::uint64_t version = kVersion;
  std::uint64_t size = sizeof(DebugLayout);

  const void* slabs;          // the pointer to the first slab
  const void* places;         // pointers to workers, null where nobody is
  const void* place_count;    // 32 bits: so many of them are to be looked at
  const void* note_distance;  // of a ParkNote, below the frame address of park(); 0: not known
  const void* coarse_clock;

  std::uint64_t slab_next;
  std::uint64_t slab_records;
  std::uint64_t records_in_slab;
  std::uint64_t record_size;

  // In a record.
  std::uint64_t id;
  std::uint64_t invoke;
  std::uint64_t stack;
  std::uint64_t extras;
  std::uint64_t created_at;
  std::uint64_t created_by;
  std::uint64_t wait_reason;
  std::uint64_t saved;             // true: the registers are those of now
  std::uint64_t tells_when_saved;  // 0: they may always be

  std::uint64_t stack_bottom;
  std::uint64_t stack_size;
  std::uint64_t note_object;
  std::uint64_t note_since;
  std::uint64_t name;          // in the extras
  std::uint64_t name_is_text;  // 1: a std::string that begins with a pointer and the length

  std::uint64_t current;  // in a worker
  std::uint64_t in_blocking;
  std::uint64_t thread_id;

  std::uint64_t resume_bytes;          // of the instruction that it goes on with; 0: behind a call
  Register registers[kMostRegisters];  // in a record: stack pointer, where it goes on, others
};

}  // namespace hamgam::inline HAMGAM_ABI::detail

// A dynamic symbol too, so that it is found in a shared library that is stripped.
extern "C" HAMGAM_API const hamgam::detail::DebugLayout hamgam_debug_layout;
