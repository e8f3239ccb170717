// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Atomic<T>: a value that all may change without a lock. AtomicValue<T>: a whole value published at
// once. Counter: a statistic that many add to and few read.
//
// Happens-before (Atomic): if B observes the effect of A, A is before B; all operations on all
// Atomics are in one total order, as in Go.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

#include "hamgam/detail/atomic.h"
#include "hamgam/detail/config.h"
#include "hamgam/detail/locked_atomic.h"

namespace hamgam::inline HAMGAM_ABI {

namespace detail {

template <class T>
concept Countable = std::is_integral_v<T> && !std::is_same_v<T, bool>;

// Sleeps on `address` if unchanged(address, found), which runs under the lock that notify takes
// too: no code of the user's.
HAMGAM_API void atomic_wait(const void* address,
                            bool (*unchanged)(const void* address, const void* found),
                            const void* found);
HAMGAM_API void atomic_notify(const void* address, bool all) noexcept;

HAMGAM_API unsigned worker_index() noexcept;

}  // namespace detail

// T must be trivially copyable. Every operation is sequentially consistent. O(1).
//
// Lock-free, and of T's size, where T has 1, 2, 4 or 8 bytes. A T of another size is kept under a
// lock of the object's own, which is held for a copy: nothing for signal handlers, and a thread
// that is preempted there holds the others up. No library is needed for it.
//
// Values are compared by their bytes, also float and double as such (so NaN is itself and 0.0 is
// not -0.0); those of classes that have padding or floating-point members by T's ==, which must not
// throw. No lock is held while that runs.
template <class T>
class Atomic {
  static_assert(std::is_trivially_copyable_v<T>, "hamgam::Atomic<T>: T must be trivially copyable");

 public:
  static constexpr bool is_always_lock_free = detail::AnyAtomic<T>::is_always_lock_free;

  // It is `value`, or T{}.
  constexpr Atomic() noexcept : value_(T{}) {}
  constexpr Atomic(T value) noexcept : value_(value) {}  // NOLINT(google-explicit-constructor)
  Atomic(const Atomic&) = delete;
  Atomic& operator=(const Atomic&) = delete;

  // A store is before each load that sees its value.
  [[nodiscard]] T load() const noexcept {
    return value_.load(detail::kSeqCst);  // [atomic.1] seq_cst, pairs with [atomic.2]
  }
  void store(T value) noexcept {
    value_.store(value, detail::kSeqCst);  // [atomic.2] seq_cst, pairs with [atomic.1]
  }

  // The former value.
  T swap(T value) noexcept {
    return value_.exchange(value, detail::kSeqCst);  // [atomic.3] seq_cst, pairs with [atomic.1]
  }

  // If the value is `old`, makes it `next`. Never fails without cause.
  [[nodiscard]] bool compare_and_swap(T old, T next) noexcept {
    // [atomic.4] seq_cst, pairs with [atomic.1]
    return value_.compare_and_swap(old, next, detail::kSeqCst);
  }

  // Returns the new value, as in Go. Wraps around.
  T add(T delta) noexcept
    requires detail::Countable<T>
  {
    using Unsigned = std::make_unsigned_t<T>;
    // [atomic.5] seq_cst, pairs with [atomic.1]
    T const former = value_.fetch_add(delta, detail::kSeqCst);
    return static_cast<T>(static_cast<Unsigned>(former) + static_cast<Unsigned>(delta));
  }

  // These return the former value, as in Go.
  T bit_and(T mask) noexcept
    requires detail::Countable<T>
  {
    return value_.fetch_and(mask, detail::kSeqCst);  // [atomic.6] seq_cst, pairs with [atomic.1]
  }
  T bit_or(T mask) noexcept
    requires detail::Countable<T>
  {
    return value_.fetch_or(mask, detail::kSeqCst);  // [atomic.7] seq_cst, pairs with [atomic.1]
  }

  // Blocks while the value is `old`; parks a goroutine, not its thread. A change is noticed only
  // with a notify after it. The object must outlive each wait; a notify uses its address alone, so
  // it may come when whoever waited has seen the value and destroyed the object: it wakes nobody
  // then, or one who waits for another Atomic at that address and looks again.
  void wait(T old) const {
    for (;;) {
      detail::ValueBytes<T> const found(value_);
      if (!detail::same_value<T>(found.value(), old)) {
        return;
      }
      detail::atomic_wait(this, &unchanged, std::addressof(found));
    }
  }
  void notify_one() noexcept { detail::atomic_notify(this, false); }
  void notify_all() noexcept { detail::atomic_notify(this, true); }

 private:
  static bool unchanged(const void* self, const void* found) {
    return detail::ValueBytes<T>(static_cast<const Atomic*>(self)->value_) ==
           *static_cast<const detail::ValueBytes<T>*>(found);
  }

  detail::AnyAtomic<T> value_;
};

// The value is immutable once stored; a reader keeps the one it loaded alive. load() of an empty
// one is null. Happens-before: a store is before each load that returns its value and the store
// that replaces it.
template <class T>
class AtomicValue {
 public:
  // Empty, or of this value.
  AtomicValue() = default;
  explicit AtomicValue(T value) : value_(std::make_shared<const T>(std::move(value))) {
    detail::tsan_release(this);
  }
  AtomicValue(const AtomicValue&) = delete;
  AtomicValue& operator=(const AtomicValue&) = delete;

  // The value that was stored last; it stays as it is for whoever holds it.
  [[nodiscard]] std::shared_ptr<const T> load() const {
    Section const section(*this);
    detail::tsan_acquire(this);
    detail::TsanHide const hide;
    detail::TsanNoEdges const no_edges;
    return value_;
  }

  // From now on loads give this one.
  void store(T value) { (void)swap(std::move(value)); }

  // The former value.
  std::shared_ptr<const T> swap(T value) {
    auto next = std::make_shared<const T>(std::move(value));
    Section const section(*this);
    detail::tsan_acquire(this);
    detail::tsan_forget(this);
    detail::tsan_release(this);
    detail::TsanHide const hide;
    value_.swap(next);
    return next;
  }

 private:
  // Held for the copy of one pointer.
  class Section {
   public:
    explicit Section(const AtomicValue& owner) : owner_(owner) { owner_.lock_.lock(); }
    ~Section() { owner_.lock_.unlock(); }
    Section(const Section&) = delete;
    Section& operator=(const Section&) = delete;

   private:
    const AtomicValue& owner_;
  };

  mutable detail::BriefLock lock_;
  std::shared_ptr<const T> value_;
};

// Adding touches a cache line that few others use; reading sums up all of them. A value read while
// others add is some value in between. No happens-before edge.
class Counter {
 public:
  constexpr Counter() noexcept = default;
  Counter(const Counter&) = delete;
  Counter& operator=(const Counter&) = delete;

  // n may be negative.
  void add(std::int64_t n = 1) noexcept {
    Shard& shard = shards_[detail::worker_index() % kShards];
    shard.value.fetch_add(n, detail::kRelaxed);  // relaxed: a statistic
  }

  // The sum of all that was added.
  [[nodiscard]] std::int64_t value() const noexcept {
    std::int64_t sum = 0;
    for (const Shard& shard : shards_) {
      sum += shard.value.load(detail::kRelaxed);  // relaxed: a statistic
    }
    return sum;
  }

 private:
  static constexpr std::size_t kShards = 16;
  struct alignas(64) Shard {
    detail::atomic<std::int64_t> value{0};
  };
  Shard shards_[kShards];
};

}  // namespace hamgam::inline HAMGAM_ABI
