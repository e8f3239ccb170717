// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// The parking lot: who sleeps on what address, goroutines and plain threads in one queue. A lock
// needs only a few bits of its own to say that somebody sleeps; the queue is here, found by the
// lock's address.
//
// A bucket holds a treap of the addresses on which anybody sleeps, and for each a FIFO list whose
// first waiter is the treap's node: O(log n) in the number of addresses that share the bucket, O(1)
// in the number of waiters on one. That holds for one that gives up in the middle, too: thousands
// with deadlines, or one stop for all, are the usual case.
//
// No wake-up is lost: a sleeper looks at the lock's word again and queues itself under the bucket's
// lock, which is released only when it is off its stack (after-switch action); a waker looks for
// sleepers under the same lock.
//
// After WebKit's ParkingLot, Rust's parking_lot and Go's runtime/sema.go. Rejected: a queue in each
// lock (a Mutex would be 24 bytes, and an unlock would touch the lock after it was given away).

#include <cstdint>

#include "base/cache_line.h"
#include "os/spin_lock.h"
#include "wait/waiter.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// Thread safety: everything under lock().
class alignas(kCacheLine) Bucket {
 public:
  void lock() noexcept { lock_.lock(); }
  void unlock() noexcept { lock_.unlock(); }
  [[nodiscard]] bool try_lock() noexcept { return lock_.try_lock(); }

  // The waiter that has slept longest on the address, or null.
  [[nodiscard]] Waiter* first(const void* address) const noexcept;

  void push_back(Waiter& waiter) noexcept;
  void push_front(Waiter& waiter) noexcept;

  // Takes the first one off; null if there is none.
  Waiter* pop(const void* address) noexcept;

  // Takes all off; linked by next. O(number of waiters).
  Waiter* pop_all(const void* address) noexcept;

  // Takes this one off, wherever it is.
  void remove(Waiter& waiter) noexcept;

  // While waits are profiled: what those on the address have waited, all together, since this was
  // last asked.
  Nanos take_delay(const void* address) noexcept;

  // Sleeps until woken or interrupted. The waiter is queued here and the bucket is locked; it is
  // unlocked on return. `reason` as for park().
  Wake sleep(Waiter& waiter, const char* reason) noexcept;

 private:
  friend bool discard_unused_stacks() noexcept;
  HAMGAM_NOINLINE void count(Waiter& waiter, Waiter& head) noexcept;
  HAMGAM_NOINLINE void count_no_more(Waiter& waiter) noexcept;
  void insert(Waiter& waiter) noexcept;
  void relink(Waiter& former, Waiter* other) noexcept;
  void replace(Waiter& former, Waiter& heir) noexcept;
  void erase(Waiter& node) noexcept;
  void rotate_up(Waiter& child) noexcept;

  SpinLock lock_;
  std::uint32_t seed_ = 1;
  Waiter* root_ = nullptr;
};

Bucket& bucket_of(const void* address) noexcept;

// A key that is no object's address, for those whose wakers may come when the object at the address
// is gone: no program's addresses have the highest bit.
inline const void* apart(const void* address) noexcept {
  constexpr std::uintptr_t kHighest = ~(~std::uintptr_t{0} >> 1);
  // NOLINTNEXTLINE(performance-no-int-to-ptr): only compared
  return reinterpret_cast<const void*>(reinterpret_cast<std::uintptr_t>(address) | kHighest);
}

// Whoever was asleep at the last call and still is gives back what his stack does not use. Of those
// on one address that is the first alone, so that no lock is held for long. True if another call is
// worth it, some time later.
bool discard_unused_stacks() noexcept;

// Wakes a chain from pop_all.
void wake_all(Waiter* first) noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
