// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// What Pool<T> is for all T: a store of pointers. Who may touch what, and why nothing is taken
// twice, stands in src/sync/pool.cpp.

#include <cstddef>
#include <cstdint>

#include "hamgam/detail/atomic.h"
#include "hamgam/detail/config.h"
#include "hamgam/detail/light_barrier.h"
#include "hamgam/detail/worker_slot.h"

namespace hamgam::inline HAMGAM_ABI::detail {

struct PoolMagazine;

// What one worker keeps for itself.
struct alignas(64) PoolShard {
  atomic<bool> busy{false};    // the owner is inside
  atomic<bool> open{false};    // the owner may go inside
  atomic<void*> hot{nullptr};  // one object
  // For get_slow and put_slow: more of them, loaded on top of previous. What a shard may hold is
  // reserved from the pool's budget.
  atomic<PoolMagazine*> loaded{nullptr};
  atomic<PoolMagazine*> previous{nullptr};
  atomic<bool> hot_only{false};
  void* victim = nullptr;  // the hot one of the last period; under the pool's lock
};

class PoolCore {
 public:
  using Destroy = void (*)(void* object) noexcept;

  // `weighed`: each object has a weight, and max_weight is the most that the pool keeps.
  HAMGAM_API PoolCore(Destroy destroy, std::size_t max_count, std::size_t max_weight, bool weighed);
  HAMGAM_API ~PoolCore();  // destroys what it keeps
  PoolCore(const PoolCore&) = delete;
  PoolCore& operator=(const PoolCore&) = delete;

  // An object, or null if it keeps none that can be had without disturbing another worker.
  HAMGAM_INLINE void* get() noexcept {
    // [pool.1] acquire, pairs with [pool.2]: the shard is constructed
    if (PoolShard* shard = shards_[worker_slot()].load(kAcquire); HAMGAM_LIKELY(shard != nullptr)) {
      // relaxed throughout: only the owner is here, and what is fenced
      shard->busy.store(true, kRelaxed);
      light_barrier();  // pairs with heavy_barrier() in drain()
      void* object = nullptr;
      if (HAMGAM_LIKELY(shard->open.load(kRelaxed) &&
                        (object = shard->hot.load(kRelaxed)) != nullptr)) {
        shard->hot.store(nullptr, kRelaxed);
        shard->busy.store(false, kRelease);  // [pool.3] release, pairs with [pool.4]
        return object;
      }
      shard->busy.store(false, kRelease);  // [pool.3] release, pairs with [pool.4]
    }
    return get_slow();
  }

  // Takes the object over; false if it has no room for it.
  HAMGAM_INLINE bool put(void* object, std::size_t weight = 0) noexcept {
    // [pool.1] acquire, pairs with [pool.2]
    if (PoolShard* shard = shards_[worker_slot()].load(kAcquire); HAMGAM_LIKELY(shard != nullptr)) {
      // relaxed throughout: only the owner is here, and what is fenced
      shard->busy.store(true, kRelaxed);
      light_barrier();  // pairs with heavy_barrier() in drain()
      if (HAMGAM_LIKELY(shard->open.load(kRelaxed) && shard->hot.load(kRelaxed) == nullptr)) {
        shard->hot.store(object, kRelaxed);
        shard->busy.store(false, kRelease);  // [pool.3] release, pairs with [pool.4]
        return true;
      }
      shard->busy.store(false, kRelease);  // [pool.3] release, pairs with [pool.4]
    }
    return put_slow(object, weight);
  }

  // Destroys everything it keeps; how many.
  HAMGAM_API std::size_t trim();

 private:
  HAMGAM_API void* get_slow() noexcept;
  HAMGAM_API bool put_slow(void* object, std::size_t weight) noexcept;

  PoolShard* own_shard() noexcept;

  struct State;
  atomic<PoolShard*> shards_[kWorkerSlots] = {};
  State* const state_;
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
