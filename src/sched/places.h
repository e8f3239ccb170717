// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// The workers that are looked at: by thieves, by whoever keeps time, by the monitor. Calls that
// block leave more workers behind than there are slots to run in; a surplus worker retires before
// it sleeps: it gives up its place here and with it its worker slot, and its timers go to those of
// the threads. Its thread stays, and takes a place again when it is woken (sched/idle.h).
//
// g_places: places_[i], null where nobody is; the first count_ are looked at. A worker whose place
// is at least as high as the number of workers moves down at its next scheduling point, so that
// after a burst the places are dense again, and the low ones, which have worker slots, belong to
// those that run.
//
// Who changes a place is the worker itself, under lock_, while it runs no goroutine and its queue
// is empty or about to be published. Invariants: (1) a worker that runs goroutines, or has any in
// its queue, has a place. (2) One that retired has nothing anybody could miss. Workers are never
// destroyed, so a thief may still hold one that retired; it finds nothing there.
// A look may miss a worker that moves meanwhile: who moves tells of its queue and its timers as if
// they were new. Who must not miss any for a sum looks again if version_ has changed.
// A worker slot goes from worker to worker with lock_, and so does what the slots' owners keep.

#include <cstdint>

#include "base/cache_line.h"
#include "hamgam/detail/atomic.h"
#include "os/spin_lock.h"
#include "sched/worker.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// More than Linux has threads for unless it is told to: each takes two of 65,530 mappings.
inline constexpr std::uint32_t kMaxWorkers = 32768;

class Places {
 public:
  // A place for the calling worker.
  void take(Worker& worker) noexcept;
  // True if the calling worker has retired: there are more than `enough` places taken, and its
  // timers went to `heir`.
  bool retire(Worker& worker, std::uint32_t enough, TimerHeap& heir) noexcept;
  // To a lower place. True if it was done.
  bool move_down(Worker& worker) noexcept;

  [[nodiscard]] bool should_move_down(const Worker& worker) const noexcept {
    return worker.index >= taken();
  }
  [[nodiscard]] std::uint32_t taken() const noexcept {
    return taken_.load(kRelaxed);  // relaxed: a number
  }
  // So many are to be looked at.
  [[nodiscard]] std::uint32_t count() const noexcept {
    return count_.load(kRelaxed);  // relaxed: a place that is missed is told of
  }
  // Null if nobody is there.
  [[nodiscard]] Worker* at(std::uint32_t index) const noexcept {
    return places_[index].load(kAcquire);  // [places.1] acquire, pairs with [places.2]
  }

  // Throws what f throws.
  template <class F>
  void for_each(F f) const {
    std::uint32_t const end = count();
    for (std::uint32_t i = 0; i < end; ++i) {
      if (Worker* worker = at(i)) {
        f(*worker);
      }
    }
  }

  // The counters of all workers, also those that retired.
  [[nodiscard]] std::uint64_t started() const noexcept { return sum(&Worker::started, started_); }
  [[nodiscard]] std::uint64_t ended() const noexcept { return sum(&Worker::ended, ended_); }
  [[nodiscard]] std::uint64_t parks() const noexcept { return sum(&Worker::parks, parks_); }
  [[nodiscard]] std::uint64_t steals() const noexcept { return sum(&Worker::steals, steals_); }

  // For debuggers.
  [[nodiscard]] constexpr const void* list() const noexcept { return &places_; }
  [[nodiscard]] constexpr const void* list_size() const noexcept { return &count_; }

 private:
  using Counter = atomic<std::uint64_t>;
  [[nodiscard]] std::uint64_t sum(Counter Worker::*counter, const Counter& retired) const noexcept;
  void count_retired(const Worker& worker, std::uint64_t times) noexcept;
  void put(Worker& worker) noexcept;
  void clear(const Worker& worker) noexcept;
  void begin_change() noexcept;
  void end_change() noexcept;

  SpinLock lock_;
  std::uint32_t first_free_ = 0;  // at most; under lock_
  Counter started_{0};            // by those that retired; changed under lock_
  Counter ended_{0};
  Counter parks_{0};
  Counter steals_{0};
  alignas(kCacheLine) atomic<std::uint32_t> count_{0};
  atomic<std::uint32_t> taken_{0};
  atomic<std::uint32_t> version_{0};  // odd while places change
  atomic<Worker*> places_[kMaxWorkers] = {};
};

extern constinit Places g_places;

}  // namespace hamgam::inline HAMGAM_ABI::detail
