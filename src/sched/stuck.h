// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Goroutines that hold their thread up while others wait for one: observe::watch_stuck.
//
// The monitor looks at workers anyhow; it measures those that have not passed a scheduling point
// for a while, and wakes a thread that asks for the stack, and writes. So neither the monitor nor
// a goroutine waits for an answer or for who reads standard error.
//
// What is measured. Computing: the thread's own time on processors, since the goroutine was first
// seen; so a thread that gets none is never called stuck. Waiting in the kernel: the thread is
// seen to wait there twice, with the limit in between, and has had no processor at all meanwhile;
// whoever wakes and waits again needs one. Only who was held up counts: work that waited for a
// thread when that goroutine had run for as long as the monitor grants.

#include <cstdint>

#include "hamgam/detail/atomic.h"
#include "os/clock.h"

namespace hamgam::inline HAMGAM_ABI::detail {

struct Worker;

// Of a worker; the monitor's. It is about one goroutine, from one scheduling point to the next.
struct StuckLook {
  bool begun = false;
  bool held_up = false;  // others waited
  bool ran = false;      // it was counted
  bool blocked = false;  // the same
  std::uint32_t tick = 0;
  Nanos since = 0;
  Nanos cpu = 0;  // the thread had then
  Nanos still_since = 0;
  Nanos still_cpu = 0;  // and has not got more since
  bool put = false;     // it waits to be told of, for which there is no thread
  Nanos asked_at = 0;   // its stack
  Nanos stays = 0;      // the worker's stays_since: of its last blocking()
};

extern constinit atomic<Nanos> g_stuck_limit;  // 0: nobody looks

inline bool watches_stuck() noexcept {
  return g_stuck_limit.load(kRelaxed) != 0;  // relaxed: sooner or later
}

// By the monitor, of a worker that runs a goroutine.
void look_for_stuck(Worker& worker, Nanos time) noexcept;

// 0: ends it.
void set_stuck_limit(Nanos limit) noexcept;

struct StuckCounts {
  std::uint64_t running;
  std::uint64_t blocked;
  std::uint64_t reports;
};
StuckCounts stuck_counts() noexcept;

// In the child of a fork.
void forget_stuck() noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
