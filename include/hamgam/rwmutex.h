// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// RWMutex: many readers or one writer, goroutines and plain threads.
// Meets Cpp17SharedTimedLockable: use std::shared_lock, std::unique_lock, or SharedLockGuard and
// LockGuard, which clang's thread-safety analysis understands. Guarded<T, RWMutex> keeps the data
// together with it.
//
// Not recursive, to read neither; not owned: any goroutine or thread may unlock it. A writer that
// waits holds back new readers. Bounds, whatever the others do:
//  * a reader waits for the readers that are inside, then for one writer, and is let in by its
//    unlock together with all readers that wait then;
//  * a writer waits as for a Mutex (whoever comes first, but one that has waited for 1 ms is next
//    when the lock changes hands), and then for the readers that are inside: no more come in.
// It may be destroyed right after the unlock that the destroyer's own lock waited for. An unlock
// that hands over lets the other one run first, so a goroutine may go on on another thread after it
// (go.h). 16 bytes.
//
// A reader costs an atomic addition to come in and one to leave, which never fail. Once readers
// prevail (no writer between hundreds of them) they write no shared cache line any more: they
// announce themselves in slots of their own thread, and the next writer pays for it, with some
// microseconds.
//
// Misuse is a fatal error: "sync: Unlock of unlocked RWMutex", "sync: RUnlock of unlocked RWMutex",
// "sync: downgrade of unlocked RWMutex".
//
// Happens-before: the n-th unlock() is before the return of the m-th lock() for n < m, and of each
// lock_shared() that follows it; unlock_shared() is before the return of the lock() that follows
// it. downgrade() is before the return of each lock_shared() that it lets in. A try that fails
// orders nothing, but a request to stop is before the return of the one that it ends.

#include <chrono>
#include <cstdint>
#include <stop_token>
#include <utility>

#include "hamgam/detail/annotations.h"
#include "hamgam/detail/atomic.h"
#include "hamgam/detail/config.h"
#include "hamgam/detail/deadline.h"
#include "hamgam/detail/lock_watch.h"
#include "hamgam/detail/reader_slots.h"

namespace hamgam::inline HAMGAM_ABI {

class HAMGAM_CAPABILITY("shared_mutex") RWMutex {
 public:
  constexpr RWMutex() noexcept = default;
  ~RWMutex() {
    if (HAMGAM_UNLIKELY((state_.load(detail::kRelaxed) & kCountMask) != 0)) {  // relaxed: the last
      forget_slots();
    }
  }
  RWMutex(const RWMutex&) = delete;
  RWMutex& operator=(const RWMutex&) = delete;

  // Blocks until the lock is ours alone.
  void lock() noexcept HAMGAM_ACQUIRE() {
    if (HAMGAM_UNLIKELY(!claim_free())) {
      lock_slow();
    }
    acquired();
  }

  // Does not wait. False if somebody has the lock; it may say so of a reader that is just leaving.
  [[nodiscard]] bool try_lock() noexcept HAMGAM_TRY_ACQUIRE(true) {
    if (!claim_free() && !try_lock_slow()) {
      return false;
    }
    acquired();
    return true;
  }

  // The last touch of the object is what lets another one lock it.
  void unlock() noexcept HAMGAM_RELEASE() {
    detail::tsan_release(this);
    std::uint64_t expected = kWriter;
    // [rw.2] release, pairs with [rw.1], [rw.6]: publishes the critical section
    if (HAMGAM_UNLIKELY(
            !state_.compare_exchange_strong(expected, 0, detail::kRelease, detail::kRelaxed))) {
      unlock_slow();
      HAMGAM_STAY_ON_STACK();
    }
  }

  // Blocks until the lock is ours to read.
  HAMGAM_INLINE void lock_shared() noexcept HAMGAM_ACQUIRE_SHARED() {
    if (HAMGAM_UNLIKELY(!enter())) {
      lock_shared_slow();
    }
    detail::tsan_acquire(this);
  }

  // Does not wait. False if a writer has the lock or waits for it, or another's try_lock looks at
  // it.
  [[nodiscard]] bool try_lock_shared() noexcept HAMGAM_TRY_ACQUIRE_SHARED(true) {
    if (HAMGAM_UNLIKELY(!enter() && !try_lock_shared_slow())) {
      return false;
    }
    detail::tsan_acquire(this);
    return true;
  }

  // As unlock().
  void unlock_shared() noexcept HAMGAM_RELEASE_SHARED() {
    detail::tsan_release(&pause_until_);
    if ((state_.load(detail::kRelaxed) & kSlots) !=
        0) {  // relaxed: ours, or as it was when we came in
      if (HAMGAM_UNLIKELY(!leave_slot(this, detail::slot_index(this)))) {
        unlock_shared_slow();
        HAMGAM_STAY_ON_STACK();
      }
      return;
    }
    if (HAMGAM_UNLIKELY(detail::watched_bit() != 0)) {
      unlock_shared_slow();
      return;
    }
    // [rw.4] release, pairs with [rw.1], [rw.5]: the section is before the next writer's
    std::uint64_t const former = state_.fetch_sub(kReader, detail::kRelease);
    if (HAMGAM_UNLIKELY((former & kWatched) != 0 || count(former) <= 0)) {
      left(this, former);
      HAMGAM_STAY_ON_STACK();
    }
  }

  // From alone to shared, without a gap in which another writer could come. The readers that wait
  // are let in too.
  void downgrade() noexcept HAMGAM_RELEASE() HAMGAM_ACQUIRE_SHARED() {
    detail::tsan_release(this);
    downgrade_slow();
  }

  // False if the lock was not to be had in time. std::bad_alloc if there is no memory for a timer.
  template <class Rep, class Period>
  [[nodiscard]] bool try_lock_for(const std::chrono::duration<Rep, Period>& d)
      HAMGAM_TRY_ACQUIRE(true) {
    return try_lock() || lock_deadline(detail::deadline_after(d));
  }
  template <class C, class D>
  [[nodiscard]] bool try_lock_until(const std::chrono::time_point<C, D>& t)
      HAMGAM_TRY_ACQUIRE(true) {
    return try_lock() || detail::attempt_until(
                             t, [this](std::int64_t deadline) { return lock_deadline(deadline); });
  }
  template <class Rep, class Period>
  [[nodiscard]] bool try_lock_shared_for(const std::chrono::duration<Rep, Period>& d)
      HAMGAM_TRY_ACQUIRE_SHARED(true) {
    return try_lock_shared() || lock_shared_deadline(detail::deadline_after(d));
  }
  template <class C, class D>
  [[nodiscard]] bool try_lock_shared_until(const std::chrono::time_point<C, D>& t)
      HAMGAM_TRY_ACQUIRE_SHARED(true) {
    return try_lock_shared() || detail::attempt_until(t, [this](std::int64_t deadline) {
             return lock_shared_deadline(deadline);
           });
  }

  // False if stop was requested before the lock was ours. A free lock is taken even then.
  [[nodiscard]] bool try_lock(std::stop_token token) HAMGAM_TRY_ACQUIRE(true) {
    return try_lock() || lock_stoppable(std::move(token));
  }
  [[nodiscard]] bool try_lock_shared(std::stop_token token) HAMGAM_TRY_ACQUIRE_SHARED(true) {
    return try_lock_shared() || lock_shared_stoppable(std::move(token));
  }

 private:
  friend struct RWMutexTest;

  // clang-format off
  // state_ (64 bits)       changed by                                            how
  //   kWriter         0    the writer: claims the lock, leaves                   CAS
  //   kWritersParked  1    a writer before it sleeps; a release                  under the bucket's lock
  //   kReadersParked  2    a reader before it sleeps; a release                  under the bucket's lock
  //   kAwake          3    a release that wakes a writer sets it, that one       under the bucket's lock
  //                        clears it as it claims, or sleeps again               CAS
  //   kBias           4    slots are open: a reader inside sets it, the writer   CAS
  //                        that claims clears it                                 CAS
  //   kSlots          5    set with kBias; the writer clears it once nobody is   RMW
  //                        inside
  //   kWatched        6    the writer before it sleeps until readers have left;  RMW
  //                        its release clears it
  //   kMarked         7    who has it, if locks are watched: for good            RMW
  //   count       8..35    signed: readers that came in by it, or are about to   RMW
  //                        find out that a writer was first, less those that
  //                        left by it
  //   reads      36..63    readers that came since the last writer, mod 2^28     with count; a writer's claim: 0
  // clang-format on
  //
  // The readers inside are `count` plus the slots that hold this object's address. A reader that
  // came in by a slot leaves by any slot of its thread that holds the lock, else by the count; so
  // that may be below 0, but only while kSlots is set, and slots may be left over. The next writer
  // empties them, or the destructor.
  //
  // Invariants: (1) If anybody sleeps on the object, the bit for it is set. (2) kAwake stands for
  // one writer that was woken and has neither claimed nor gone to sleep again. (3) While anybody
  // sleeps, kWriter or kAwake is set, and if it is kWriter, that is given up under the bucket's
  // lock. (4) While kWriter is set, no reader comes in: who adds to the count then takes it back.
  // (5) A slot that holds the object's address stands for one reader, or is about to be emptied by
  // its thread because kBias was clear.
  static constexpr std::uint64_t kWriter = 1;
  static constexpr std::uint64_t kWritersParked = 2;
  static constexpr std::uint64_t kReadersParked = 4;
  static constexpr std::uint64_t kAwake = 8;
  static constexpr std::uint64_t kBias = 16;
  static constexpr std::uint64_t kSlots = 32;
  static constexpr std::uint64_t kWatched = 64;
  static constexpr std::uint64_t kMarked = 128;
  static constexpr std::uint64_t kReader = std::uint64_t{1} << 8;
  static constexpr std::uint64_t kRead = std::uint64_t{1} << 36;
  static constexpr std::uint64_t kCountMask = kRead - kReader;
  static constexpr std::uint64_t kReadsMask = ~(kRead - 1);
  // Whoever adds to these reads is the last of kManyReads: time to look whether slots would pay.
  // They spare each reader two read-modify-writes, some 5 ns or more, and cost the next writer a
  // barrier, some microseconds. As long as readers are counted they have spent by then what one
  // barrier costs: at most twice what would have been best.
  static constexpr std::uint64_t kManyReads = 512;
  static constexpr std::uint64_t kAllReads = (kManyReads - 1) * kRead;

  static std::int64_t count(std::uint64_t state) noexcept {
    return static_cast<std::int64_t>(state << 28) >> 36;
  }

  HAMGAM_INLINE bool claim_free() noexcept {
    std::uint64_t state = state_.load(detail::kRelaxed);  // relaxed: the CAS checks it
    // [rw.1] acquire, pairs with [rw.2], [rw.4], [rw.7]
    return ((state | detail::watched_bit()) & ~kReadsMask) == 0 &&
           state_.compare_exchange_strong(state, kWriter, detail::kAcquire, detail::kRelaxed);
  }

  void acquired() const noexcept {
    detail::tsan_acquire(this);           // writers
    detail::tsan_acquire(&pause_until_);  // readers
  }

  // One try to come in to read.
  HAMGAM_INLINE bool enter() noexcept {
    std::uint64_t const state = state_.load(detail::kRelaxed);  // relaxed: checked again below
    if (HAMGAM_LIKELY((state & kBias) != 0)) {
      return enter_slot(detail::reader_row()->held[detail::slot_index(this)]);
    }
    if (HAMGAM_UNLIKELY(((state | detail::watched_bit()) & kWriter) != 0)) {
      return false;
    }
    // [rw.6] acquire, pairs with [rw.2], [rw.7]
    std::uint64_t const former = state_.fetch_add(kReader + kRead, detail::kAcquire);
    if (HAMGAM_UNLIKELY((former & kWriter) != 0 || (former & kAllReads) == kAllReads)) {
      return added(former);
    }
    return true;
  }

  // By this slot of our own row, if it is free. "Announce, then look": see rwmutex.cpp.
  HAMGAM_INLINE bool enter_slot(detail::atomic<const void*>& slot) noexcept {
    if (HAMGAM_UNLIKELY(slot.load(detail::kRelaxed) != nullptr)) {  // relaxed: our own
      return false;
    }
    slot.store(this, detail::kRelaxed);  // relaxed: the barrier orders it
    detail::light_barrier();
    // [rw.9] acquire, pairs with [rw.13], and by that with the last writer, whom who opened the
    // slots came after
    if (HAMGAM_LIKELY((state_.load(detail::kAcquire) & kBias) != 0)) {
      return true;
    }
    retreat(slot);
    return false;
  }

  // Out of this slot of our own row, if it holds the lock. Then the object may be gone at once.
  HAMGAM_INLINE static bool leave_slot(const RWMutex* lock, std::size_t index) noexcept {
    detail::ReaderRow* const row = detail::reader_row();
    if (HAMGAM_UNLIKELY(row->held[index].load(detail::kRelaxed) != lock)) {  // relaxed: our own
      return false;
    }
    // [rw.8] release, pairs with [slots.3]: the section is before the next writer's
    row->held[index].store(nullptr, detail::kRelease);
    detail::light_barrier();
    // relaxed: the barrier orders it
    if (HAMGAM_UNLIKELY(row->watched.load(detail::kRelaxed) != 0)) {
      wake_watcher(lock);
    }
    return true;
  }

  HAMGAM_API void forget_slots() noexcept;
  HAMGAM_API bool added(std::uint64_t former) noexcept;
  HAMGAM_API static void left(const RWMutex* lock, std::uint64_t former) noexcept;
  HAMGAM_API void retreat(detail::atomic<const void*>& slot) noexcept;
  HAMGAM_API static void wake_watcher(const void* lock) noexcept;
  HAMGAM_API void lock_slow() noexcept;
  HAMGAM_API bool try_lock_slow() noexcept;
  HAMGAM_API bool lock_deadline(std::int64_t deadline);
  HAMGAM_API bool lock_stoppable(std::stop_token token);
  bool lock_limited(auto limit);
  bool lock_shared_limited(auto limit);
  HAMGAM_API void unlock_slow() noexcept;
  HAMGAM_API void lock_shared_slow() noexcept;
  HAMGAM_API bool try_lock_shared_slow() noexcept;
  HAMGAM_API bool lock_shared_deadline(std::int64_t deadline);
  HAMGAM_API bool lock_shared_stoppable(std::stop_token token);
  HAMGAM_API void unlock_shared_slow() noexcept;
  HAMGAM_API void downgrade_slow() noexcept;

  class Slow;  // rwmutex.cpp

  detail::atomic<std::uint64_t> state_{0};
  detail::atomic<std::int64_t> pause_until_{0};  // no slots before then
};

// A guard to read that clang's thread-safety analysis understands; otherwise std::shared_lock.
template <class M>
class [[nodiscard]] HAMGAM_SCOPED_CAPABILITY SharedLockGuard {
 public:
  // Locks to read, and unlocks at the end of the scope.
  [[nodiscard]] explicit SharedLockGuard(M& mutex) HAMGAM_ACQUIRE_SHARED(mutex) : mutex_(mutex) {
    mutex_.lock_shared();
  }
  ~SharedLockGuard() HAMGAM_RELEASE() { mutex_.unlock_shared(); }
  SharedLockGuard(const SharedLockGuard&) = delete;
  SharedLockGuard& operator=(const SharedLockGuard&) = delete;

 private:
  M& mutex_;
};

}  // namespace hamgam::inline HAMGAM_ABI
