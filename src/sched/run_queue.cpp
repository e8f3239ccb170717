// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sched/run_queue.h"

#include "os/membarrier.h"

namespace hamgam::inline HAMGAM_ABI::detail {

Goroutine* RunQueue::steal_next() noexcept {
  if (!steal_lock_.try_lock()) {
    return nullptr;
  }
  Goroutine* g = runnext_.load(kRelaxed);  // relaxed: the CAS checks it
  Goroutine* stolen = nullptr;
  if (g != nullptr && HAMGAM_RSEQ != 0 && rseq_barrier_available()) {
    Goroutine* mark = marked(g);
    // relaxed throughout: the barrier orders it
    if (runnext_.compare_exchange_strong(g, mark, kRelaxed, kRelaxed)) {
      Goroutine* const next = rseq_barrier() ? nullptr : g;
      // [runq.2] acquire, pairs with [runq.1]
      if (runnext_.compare_exchange_strong(mark, next, kAcquire, kRelaxed) && next == nullptr) {
        stolen = g;
      }
    }
  } else if (g != nullptr) {
    // [runq.12] acquire, pairs with [runq.1]
    stolen = runnext_.compare_exchange_strong(g, nullptr, kAcquire, kRelaxed) ? g : nullptr;
  }
  steal_lock_.unlock();
  return stolen;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
