// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// What all goroutines do, with their stacks, equal ones together. The world goes on meanwhile: each
// goroutine is seen at a moment of its own, and is held for some microseconds at most (hold.h); or,
// if it has a thread, that is interrupted for as long (look.h). Those that begin or end meanwhile
// may be in it or not.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "os/clock.h"
#include "sched/hold.h"

namespace hamgam::inline HAMGAM_ABI::detail {

struct Snapshot {
  static constexpr std::size_t kFrames = 64;

  struct Member {
    std::uint64_t id;
    std::uint64_t created_by;  // 0: a plain thread
    const void* object;        // that it waits for; null: none, or not known
    Nanos since;               // it waits, or is in blocking(); 0: not known
  };

  // Goroutines that do the same at the same place, and have the same name.
  struct Group {
    const char* state = nullptr;  // "running", "runnable", "blocking" or what it waits for
    bool waits = false;
    bool elsewhere = false;  // it has a thread, and its stack was not seen
    bool cut = false;        // there are more frames
    const void* created_at = nullptr;
    std::string name;
    std::vector<const void*> frames;  // return addresses, innermost first
    std::vector<Member> members;      // by id
  };

  // A plain thread that waits for something of ours; a group of one, without an id.
  struct Thread {
    int id;
    Group group;
  };

  Nanos time = 0;               // when it was complete
  std::vector<Group> groups;    // by their first member's id
  std::vector<Thread> threads;  // none, if no threads were asked
};

// Whether threads that run goroutines are asked for their stacks. Calls in which they block may
// return EINTR for it.
enum class Ask : std::uint8_t { kNobody, kThreads };

// All, but for `except`. Throws std::bad_alloc.
Snapshot take_snapshot(Ask ask, const Goroutine* except = nullptr,
                       Hold::Patience patience = Hold::kPatient);

// The goroutine's name as the snapshot has it is cut to this.
inline constexpr std::size_t kShownName = 128;

}  // namespace hamgam::inline HAMGAM_ABI::detail
