// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// The trace: who ran where and when, who woke whom, as records that are read when it is over.
//
// Each worker writes into a chunk of its own, in order, without any locked instruction; plain
// threads share a ring under a lock. A chunk that is full is put behind the others that are, and
// the next one is taken: a fresh one, or else the oldest full one of all. So what is kept are the
// newest records, within the memory that was asked for at the start, and none is asked for later.
//
//   g_coarse_clock.traced   0: off; else the number of the trace.  changed by begin and end, under
//                                                                  the buffer's lock
//   TraceRing::writing      the owner is about to write            its owner
//   TraceRing::chunk        where it writes, of that trace         its owner, under the lock
//   TraceChunk::count       of the records that are complete       its owner; and under the lock,
//   when
//                                                                  it is taken
//
//   [trace.1] writer: store writing; light barrier; load traced, and if it is 0 write nothing;
//                     write, count; clear writing
//   [trace.2] ender:  under the lock: store traced = 0; heavy barrier; wait until no ring writes
//                     that has a chunk; read
//
// Why the ender reads what nobody writes any more. A writer that has loaded `traced` before it was
// cleared has stored `writing` before the heavy barrier reached its thread, so the ender sees that,
// or a later store of false, which is behind the record. One that comes later writes nothing. One
// that takes a chunk meanwhile does so under the lock: before the end, and then the ender sees
// whose it is; or after it, and then it gets none. And a chunk is taken away from a ring only when
// that has put it behind the others. Why a writer never has a chunk of a former trace: its ring
// says which trace that is of, and `traced` never comes back to the same number. So the memory can
// be freed as soon as the ender has waited. Nobody waits inside of `writing`, but for the lock: the
// ender waits for a thread that was preempted there, at worst. Where the kernel has no heavy
// barrier, writers fence; where it refuses one later, the ender waits until all is seen.
//
// What there is can be copied while it goes on: the chunks of one moment, each under the lock, so
// it is not taken away meanwhile, as far as its count says ([trace.5]). The newest come first, and
// chunks are taken away in the order in which they became full: so of each ring's records those are
// there that follow one another up to that moment. Of a copy that is to be small the same holds, as
// those that the rings wrote into at that moment are part of it, however old they are.
//
// fork(): the child is not traced.
//
// Off, the trace costs a load of a line that is there anyhow and a branch for each switch, wake-up
// and start (watched(), latency.h).
// Rejected: to stop in a full ring: the end of a trace is what one looks at. Rejected: a thread
// that empties the rings meanwhile: of two processors it takes one, or loses the most when it
// matters most. Rejected: the monotonic clock: at 25 ns it is half of what a record takes.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "hamgam/detail/atomic.h"
#include "os/clock.h"
#include "sched/goroutine.h"

namespace hamgam::inline HAMGAM_ABI::detail {

struct Worker;

enum class TraceKind : std::uint8_t {
  kSwitch,   // from who to a: goroutines, 0: the worker's own stack; b: what who waits for
  kWake,     // who makes the goroutine a runnable
  kSpawn,    // who has started the goroutine a
  kName,     // of the goroutine a: 8 more bytes of it, in b
  kBlock,    // who keeps its thread from now on, while it waits or in blocking(); b: which
  kUnblock,  // the end of that
  kBegin,    // who begins a region; b: its name
  kEnd,      // who ends it
};

// Who: a goroutine's id; 0: a worker between two; or with this bit, a thread's.
inline constexpr std::uint64_t kTraceThread = std::uint64_t{1} << 55;

struct TraceRecord {
  std::uint64_t time;  // ticks()
  std::uint64_t what;  // kind in the highest byte, who
  std::uint64_t a;
  std::uint64_t b;

  [[nodiscard]] TraceKind kind() const noexcept { return static_cast<TraceKind>(what >> 56); }
  [[nodiscard]] std::uint64_t who() const noexcept { return what & ((std::uint64_t{1} << 56) - 1); }
};

struct TraceChunk;

// Thread safety: its owner's, but as said above.
struct TraceRing {
  atomic<bool> writing{false};
  atomic<bool> lost{false};  // something older than what is there, in this trace
  atomic<int> thread_id{0};  // 0: of all plain threads
  std::uint32_t number = 0;  // of the trace
  TraceChunk* chunk = nullptr;
  TraceRing* next = nullptr;  // of all that ever wrote; set before it is seen
};

struct TraceChunk {
  static constexpr std::size_t kRecords = 127;

  TraceRing* owner;
  TraceChunk* next;     // newer, in the list of those that are full
  std::uint64_t order;  // of being taken
  atomic<std::size_t> count;
  TraceRecord records[kRecords];
};
static_assert(sizeof(TraceChunk) == 4096);

// Told what they do "why" where there is no reason to wait.
inline constexpr char kTraceEnded[] = "ended";
inline constexpr char kInBlocking[] = "blocking";

HAMGAM_INLINE bool tracing() noexcept {
  return HAMGAM_UNLIKELY(g_coarse_clock.traced.load(kRelaxed) != 0);  // relaxed: [trace.1] looks
}

// What is recorded, if tracing(). By the thread that does it, before it is done.
HAMGAM_COLD void trace_switch(Worker& w, const Goroutine& from, const Goroutine& to,
                              const char* why) noexcept;
HAMGAM_COLD void trace_wake(const Goroutine& g) noexcept;
HAMGAM_COLD void trace_spawn(const Goroutine& g) noexcept;
// kBlock, kUnblock, kBegin, kEnd. The name must stay where it is.
HAMGAM_COLD void trace_span(TraceKind kind, const char* name) noexcept;

// What runs on a worker, by its thread's number.
struct TraceRunning {
  int thread_id;
  std::uint64_t goroutine;  // 0: none
};
std::vector<TraceRunning> trace_running();

// From here on by one at a time.

// False: there is no memory. Never for less than a few chunks.
bool begin_trace(std::size_t bytes) noexcept;

struct TraceEnd {
  std::vector<const TraceChunk*> chunks;  // in the order in which they were taken
  std::uint64_t lost = 0;                 // records
  std::uint64_t until = UINT64_MAX;       // what has a later time is not of it
  bool cut = false;                       // what is older was left out
  std::vector<std::unique_ptr<TraceChunk>> copies;
};
// Ends it, and nobody touches what was recorded any more.
void end_trace() noexcept;
TraceEnd ended_trace();
// What was recorded until then, which is just now; it goes on. The newest that go into so much
// memory, and of each ring some. Throws std::bad_alloc.
TraceEnd copy_trace(std::uint64_t until, std::size_t memory);
void free_trace() noexcept;

// Who reports a deadlock ("deadlock"), a stuck worker ("stuck") or that the process dies (null) has
// what was recorded until then written, if the layer above was told to. By no thread that has a
// lock.
using WriteFlight = void (*)(const char* kind) noexcept;
void set_write_flight(WriteFlight write) noexcept;
void write_flight(const char* kind) noexcept;

// Changes while a trace is being copied or written: who exits or dies may wait for that.
std::uint32_t trace_progress() noexcept;
void note_trace_progress() noexcept;

// In the child of a fork.
void forget_trace() noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
