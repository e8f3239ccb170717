// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// What belongs to no worker: goroutines made runnable by plain threads, the overflow of full run
// queues, the queues of workers that retired.
//
// Single ones stand in a list through their records, first in, first out. Overflow comes in batches
// of pointers, so that a goroutine passes through without its record, which nobody has looked at
// for a while, being fetched into the cache. The newest batch is taken first: programs that start
// goroutines which start goroutines go deep rather than wide and keep few of them at once. So that
// nobody is passed over for ever, pop_oldest, to which each worker turns every kFairTicks
// decisions, takes from the other end; and singles and batches take turns in both.
//
// Rejected: one list through the records (a walk over lines that are in no cache costs more than
// starting and ending the goroutines does), batches first in, first out (a tree of goroutines is
// unfolded breadth first).
//
// Thread safety: everything under lock_.

#include <cstddef>

#include "base/intrusive_queue.h"
#include "base/own_memory.h"
#include "hamgam/detail/atomic.h"
#include "os/spin_lock.h"
#include "sched/goroutine.h"

namespace hamgam::inline HAMGAM_ABI::detail {

class GlobalQueue {
 public:
  static constexpr std::size_t kBatch = 129;  // half of a run queue, and the one that found it full

  [[nodiscard]] bool empty() const noexcept {
    return size_.load(kRelaxed) == 0;  // relaxed: a hint; the caller fences where it must not miss
  }

  void push(Goroutine* g) noexcept;
  void append(IntrusiveQueue<Goroutine>& singles, std::size_t count) noexcept;
  // At most kBatch. Needs memory now and then; without any they become singles.
  void append_batch(Goroutine* const* items, std::size_t count) noexcept;

  // Writes a batch, or a fair share (1/sharers) of the singles, to `items`, which have room for
  // kBatch, and returns how many.
  std::size_t pop(Goroutine** items, std::size_t sharers) noexcept;
  // The oldest single or, in turn, the oldest of the batches. Null if empty.
  Goroutine* pop_oldest() noexcept;

 private:
  struct Batch : InOwnMemory {
    Batch* newer = nullptr;
    Batch* older = nullptr;
    std::size_t first = 0;
    std::size_t end = 0;
    Goroutine* items[kBatch] = {};
  };

  void resize(std::ptrdiff_t by) noexcept {
    // relaxed throughout: under lock_
    size_.store(size_.load(kRelaxed) + static_cast<std::size_t>(by), kRelaxed);
  }
  bool is_batches_turn() noexcept;
  Batch* unlink(Batch* batch) noexcept;

  static constexpr std::size_t kMostUnused = 64;

  SpinLock lock_;
  bool batches_turn_ = false;
  IntrusiveQueue<Goroutine> singles_;
  Batch* newest_ = nullptr;
  Batch* oldest_ = nullptr;
  Batch* unused_ = nullptr;  // linked by older
  std::size_t unused_count_ = 0;
  std::size_t single_count_ = 0;
  atomic<std::size_t> size_{0};
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
