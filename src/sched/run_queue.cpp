// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sched/run_queue.h"

#include "os/membarrier.h"

namespace hamgam::inline HAMGAM_ABI::detail {

Goroutine* RunQueue::steal_next() noexcept {
  if (!steal_lock_.try_lock()) {
    return nullptr;
  }
  std::uint64_t next = runnext_.load(kRelaxed);  // relaxed: the CAS checks it
  Goroutine* stolen = nullptr;
  if (next != 0 && kRestartable && rseq_barrier_available()) {
    std::uint64_t mark = next | kMark;
    // relaxed throughout: the barrier orders it
    if (runnext_.compare_exchange_strong(next, mark, kRelaxed, kRelaxed)) {
      std::uint64_t const left = rseq_barrier() ? 0 : next;
      // [runq.2] acquire, pairs with [runq.1]
      if (runnext_.compare_exchange_strong(mark, left, kAcquire, kRelaxed) && left == 0) {
        stolen = goroutine_of(next);
      }
    }
  } else if (next != 0) {
    // [runq.12] acquire, pairs with [runq.1]
    bool const taken = runnext_.compare_exchange_strong(next, 0, kAcquire, kRelaxed);
    stolen = taken ? goroutine_of(next) : nullptr;
  }
  steal_lock_.unlock();
  return stolen;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
