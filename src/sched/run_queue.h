// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// A worker's run queue: a ring of goroutines, from which its owner takes in order and thieves take
// half, and runnext, the one to run before them.
//
//   head_     advanced by CAS: by the owner (one) or a thief (half)
//   tail_     advanced by the owner alone
//   ring_[i]  written by the owner while i is outside [head_, tail_)
//   runnext_  set and taken by the owner; taken by a thief if the owner is stuck
// Invariants: (1) 0 <= tail_ - head_ <= kCapacity. (2) A goroutine is in at most one place.
//
// As Go's runq (runtime/proc.go). Rejected: Chase-Lev (the owner takes the newest, which starves
// the oldest), an unbounded deque (reclamation), a restartable sequence in place of runnext's
// exchange (a barrier for thieves and 70 lines, for 2 of a spawn's 34 ns).

#include <cstdint>

#include "base/cache_line.h"
#include "hamgam/detail/atomic.h"
#include "sched/goroutine.h"

namespace hamgam::inline HAMGAM_ABI::detail {

class RunQueue {
 public:
  static constexpr std::uint32_t kCapacity = 256;

  // Owner only. The one that was next before, or null.
  Goroutine* exchange_next(Goroutine* g) noexcept {
    if (runnext_.load(kRelaxed) == nullptr) {  // relaxed: only we make it other than null
      runnext_.store(g, kRelease);             // [runq.1] release, pairs with [runq.2]: g's record
      return nullptr;
    }
    return runnext_.exchange(g, kRelease);  // [runq.11] release, pairs with [runq.2]: g's record
  }

  // Owner only. Takes runnext; null if there is none.
  Goroutine* take_next() noexcept {
    // relaxed throughout: only we make it other than null, and it is we who did
    return runnext_.load(kRelaxed) == nullptr ? nullptr : runnext_.exchange(nullptr, kRelaxed);
  }

  // Thief.
  Goroutine* steal_next() noexcept {
    Goroutine* next = runnext_.load(kRelaxed);  // relaxed: the CAS checks it
    // [runq.2] acquire, pairs with [runq.1], [runq.11]
    return next != nullptr && runnext_.compare_exchange_strong(next, nullptr, kAcquire, kRelaxed)
               ? next
               : nullptr;
  }

  [[nodiscard]] bool has_next() const noexcept { return peek_next() != nullptr; }
  [[nodiscard]] const Goroutine* peek_next() const noexcept {
    return runnext_.load(kRelaxed);  // relaxed: compared, never followed
  }

  // Owner only. False if the ring is full.
  [[nodiscard]] bool push(Goroutine* g) noexcept {
    std::uint32_t const tail = tail_.load(kRelaxed);  // relaxed: ours
    // [runq.3] acquire, pairs with [runq.5]: whoever took the slot's goroutine has read it.
    if (HAMGAM_UNLIKELY(tail - head_.load(kAcquire) >= kCapacity)) {
      return false;
    }
    ring_[tail % kCapacity].store(g, kRelaxed);  // relaxed: published by the tail
    tail_.store(tail + 1, kRelease);             // [runq.4] release, pairs with [runq.6]
    return true;
  }

  // Owner only. The oldest, or null.
  Goroutine* pop() noexcept {
    std::uint32_t const tail = tail_.load(kRelaxed);  // relaxed: ours
    std::uint32_t head = head_.load(kRelaxed);        // relaxed: the CAS checks it
    while (head != tail) {
      Goroutine* g = ring_[head % kCapacity].load(kRelaxed);  // relaxed: we wrote it
      // [runq.5] release, pairs with [runq.3]: the slot has been read.
      if (HAMGAM_LIKELY(head_.compare_exchange_weak(head, head + 1, kAcqRel, kRelaxed))) {
        return g;
      }
    }
    return nullptr;
  }

  // Owner only. Takes the older half of a ring, which has room for it behind `into`, and returns
  // how many.
  std::uint32_t take_half(Goroutine** into) noexcept {
    std::uint32_t const tail = tail_.load(kRelaxed);  // relaxed: ours
    std::uint32_t head = head_.load(kRelaxed);        // relaxed: the CAS checks it
    for (;;) {
      std::uint32_t const count = (tail - head) / 2;
      for (std::uint32_t i = 0; i < count; ++i) {
        into[i] = ring_[(head + i) % kCapacity].load(kRelaxed);  // relaxed: we wrote it
      }
      // [runq.13] release, pairs with [runq.3]: the slots have been read.
      if (count == 0 || head_.compare_exchange_weak(head, head + count, kAcqRel, kRelaxed)) {
        return count;
      }
    }
  }

  // Owner only, and only while the ring is empty: at most kCapacity.
  void fill(Goroutine* const* from, std::uint32_t count) noexcept {
    std::uint32_t const tail = tail_.load(kRelaxed);  // relaxed: ours
    // [runq.14] acquire, pairs with [runq.5]: whoever took the slots' goroutines has read them.
    static_cast<void>(head_.load(kAcquire));
    for (std::uint32_t i = 0; i < count; ++i) {
      ring_[(tail + i) % kCapacity].store(from[i], kRelaxed);  // relaxed: published by the tail
    }
    tail_.store(tail + count, kRelease);  // [runq.15] release, pairs with [runq.6]
  }

  // Thief: moves half of this ring to `mine`, which must be empty, and returns one of them.
  Goroutine* steal_into(RunQueue& mine) noexcept {
    // [runq.7] acquire, pairs with [runq.5]
    std::uint32_t head = head_.load(kAcquire);
    // [runq.16] acquire, pairs with [runq.5], [runq.9]: whoever took what was in our slots has read
    // them.
    static_cast<void>(mine.head_.load(kAcquire));
    for (;;) {
      // [runq.6] acquire, pairs with [runq.4]: the goroutines' records.
      std::uint32_t const tail = tail_.load(kAcquire);
      std::uint32_t const count = tail - head - (tail - head) / 2;
      if (count == 0) {
        return nullptr;
      }
      if (count > kCapacity / 2) {    // head and tail are from different moments
        head = head_.load(kAcquire);  // [runq.8] acquire, pairs with [runq.5]
        continue;
      }
      std::uint32_t const end = mine.tail_.load(kRelaxed);  // relaxed: ours
      for (std::uint32_t i = 0; i < count; ++i) {
        // relaxed: published by our own tail; if the slot was overwritten, the CAS fails
        Goroutine* g = ring_[(head + i) % kCapacity].load(kRelaxed);
        mine.ring_[(end + i) % kCapacity].store(g, kRelaxed);  // relaxed: our tail publishes it
      }
      // [runq.9] release, pairs with [runq.3]: the slots have been read.
      if (head_.compare_exchange_weak(head, head + count, kAcqRel, kAcquire)) {
        Goroutine* last =
            mine.ring_[(end + count - 1) % kCapacity].load(kRelaxed);  // relaxed: ours
        mine.tail_.store(end + count - 1, kRelease);  // [runq.10] release, pairs with [runq.6]
        return last;
      }
    }
  }

  // A guess, but never empty when nobody else changes it.
  [[nodiscard]] bool ring_empty() const noexcept {
    // relaxed throughout: the caller fences
    return head_.load(kRelaxed) == tail_.load(kRelaxed);
  }

 private:
  alignas(kNoSharing) atomic<std::uint32_t> head_{0};
  atomic<Goroutine*> runnext_{nullptr};
  alignas(kCacheLine) atomic<std::uint32_t> tail_{0};
  atomic<Goroutine*> ring_[kCapacity] = {};
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
