// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// What Hamgam knows of a thread: one record, made when the thread first sleeps or reads here, given
// to a later thread when it ends, and never freed. So others may read it at any time, and a waker
// may touch `word` after the thread it woke has gone.
//
// word        a plain thread's futex; also whether it counts as asleep for the report of deadlocks
//   kAwake    -> kAsleep   by the thread (CAS), if nothing but a waker will end its sleep
//   any       -> kWoken    by the one waker of each sleep: from now on the thread counts as awake,
//                          whenever its CPU gets to it
//   any       -> kAwake    by the thread, before a waker can find it
// One that rests (begin_rest) goes from kAwake to kAsleep and back by itself.
// A thread that sleeps until some time stays kAwake: it ends its sleep by itself.
//
// The thread-local variables below have trivial destructors, so they may be read while and after
// those of others run. A thread that sleeps when its own end is under way borrows a record.

#include <cstdint>

#include "hamgam/detail/atomic.h"
#include "os/clock.h"

namespace hamgam::inline HAMGAM_ABI::detail {

struct Look;
struct ReaderRow;
struct ReadRecord;

struct alignas(64) ThreadRecord {
  enum Word : std::uint32_t { kAwake, kAsleep, kWoken };

  atomic<std::uint32_t> word{kAwake};
  // While kAsleep: the owner is a worker, whose goroutine is pinned (park.h).
  atomic<bool> of_worker{false};
  atomic<std::uint64_t> sleeps{0};  // how often the owner became kAsleep, or gave the record back
  ReaderRow* row = nullptr;         // the owner's; sync/reader_slots.cpp fills it
  void (*forget_row)() noexcept = nullptr;  // before the thread gives the record back
  ReadRecord* pin = nullptr;                // the owner's; sync/read_domain.cpp fills it
  atomic<int> id{0};                        // of the owner
  atomic<bool> reports{false};              // the owner, ours, only tells people what it is told
  atomic<Look*> look{nullptr};              // that it is to answer: look.h
  // For dumps: what the owner waits for (park.h), null: nothing; since when, by coarse_now(); and
  // whether it is a goroutine that keeps its thread.
  atomic<const char*> reason{nullptr};
  atomic<const void*> object{nullptr};
  atomic<Nanos> since{0};
  atomic<bool> as_goroutine{false};
  ThreadRecord* next = nullptr;       // in the list of all; set before it is published
  ThreadRecord* next_free = nullptr;  // under the list's lock

  // By the owner, before a waker can find it.
  void begin_sleep() noexcept {
    word.store(kAwake, kRelaxed);  // relaxed: published with what the waker finds it by
  }

  // Until woken, or until `limit` has passed: false.
  bool sleep(Nanos limit) noexcept;

  // Ends the sleep that was begun. Once for each.
  void wake() noexcept;

  // In between the owner, who serves what is outside of the process and has nothing on hand that
  // goroutines wait for, counts as asleep, though nobody here wakes it.
  void begin_rest() noexcept;
  void end_rest() noexcept;
};

// The calling thread's record, made if need be; null if there is no memory or the thread is about
// to end. Never keep it over a park.
ThreadRecord* this_thread_record() noexcept;

// The same in a signal's handler; null if there is none yet.
ThreadRecord* thread_record_in_handler() noexcept;

// The same to sleep with: a borrowed one if it must be. Fatal without memory.
ThreadRecord* hold_thread_record() noexcept;
void release_thread_record(ThreadRecord* record) noexcept;

// Calls f for every record there is, also those that are nobody's. Throws what f throws.
void for_each_thread(void (*f)(ThreadRecord& record, void* argument), void* argument);

// How many threads are asleep, and how often any has fallen asleep or ended: see monitor.cpp.
struct SleepingThreads {
  std::uint32_t plain = 0;
  std::uint32_t workers = 0;  // with a goroutine that keeps its thread
};
SleepingThreads sleeping_threads() noexcept;
std::uint64_t thread_sleeps() noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
