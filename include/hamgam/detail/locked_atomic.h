// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Values that the processor can't change at once: kept under a lock that is held for a copy.
// (Rejected: std::atomic of such a type, which calls libatomic, another library to link with, that
// locks as well. Rejected: 16 bytes by cmpxchg16b: with it each load writes, on a line that all
// readers want.)

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>

#include "hamgam/detail/atomic.h"
#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// Can all processors change it at once? (std::atomic's word for it is not asked: it is true of 16
// bytes in code that is compiled for newer ones, and both would have another Atomic.)
template <class T>
inline constexpr bool kIsWord =
    sizeof(T) == 1 || sizeof(T) == 2 || sizeof(T) == 4 || sizeof(T) == 8;

// Are the bytes all that makes a T? (Of a float they are what std::atomic compares, too.)
template <class T>
inline constexpr bool kBytesTell = std::has_unique_object_representations_v<T> ||
                                   (std::is_floating_point_v<T> && sizeof(T) <= sizeof(double));

// By bytes where these tell, else by ==, for which padding does not count.
template <class T>
[[nodiscard]] bool same_value(const T& a, const T& b) noexcept {
  static_assert(kBytesTell<T> || std::equality_comparable<T>,
                "Atomic: to compare values that have padding or floating-point members, T needs an "
                "operator==, which may be = default");
  if constexpr (kBytesTell<T>) {
    return __builtin_memcmp(std::addressof(a), std::addressof(b), sizeof(T)) == 0;
  } else {
    return static_cast<bool>(a == b);
  }
}

// The bytes of a value, padding too, which a copy of a T need not have. They tell whether a value
// has changed where a lock is held: a == is the user's code and may take any time and any lock.
template <class T>
class ValueBytes {
 public:
  explicit ValueBytes(const T& from) noexcept { copy(std::addressof(from)); }
  // At once, as its load.
  explicit ValueBytes(const seen_atomic<T>& from) noexcept {
    const void* const place = std::addressof(from);
    auto const* const word = static_cast<const Word*>(place);
    // [bytes.1] seq_cst, pairs with what changes the value
    Word const bytes = __atomic_load_n(word, static_cast<int>(kSeqCst));
    copy(&bytes);
  }

  // Makes that `next` if these are its bytes; else these become its bytes.
  bool exchange_in(seen_atomic<T>& at, const ValueBytes& next) noexcept {
    Word had;
    Word desired;
    __builtin_memcpy(&had, bytes_, sizeof had);
    __builtin_memcpy(&desired, next.bytes_, sizeof desired);
    void* const place = std::addressof(at);
    // [bytes.2] seq_cst, pairs with itself and with what loads the value
    bool const done =
        __atomic_compare_exchange_n(static_cast<Word*>(place), &had, desired, false,
                                    static_cast<int>(kSeqCst), static_cast<int>(kSeqCst));
    copy(&had);
    return done;
  }

  [[nodiscard]] const T& value() const noexcept {
    return *std::launder(reinterpret_cast<const T*>(bytes_));
  }
  [[nodiscard]] bool operator==(const ValueBytes& other) const noexcept {
    return __builtin_memcmp(bytes_, other.bytes_, sizeof(T)) == 0;
  }

 private:
  template <std::size_t size>
  static constexpr auto word_of_size() noexcept {
    if constexpr (size == 1) {
      return std::uint8_t{};
    } else if constexpr (size == 2) {
      return std::uint16_t{};
    } else if constexpr (size == 4) {
      return std::uint32_t{};
    } else {
      return std::uint64_t{};
    }
  }
  // NOLINTNEXTLINE(modernize-use-using): attributes
  typedef decltype(word_of_size<sizeof(T)>()) Word __attribute__((may_alias));

  void copy(const void* from) noexcept { __builtin_memcpy(bytes_, from, sizeof(T)); }

  alignas(T) unsigned char bytes_[sizeof(T)];
};

// What Atomic uses of std::atomic, for a T that is a word. (Of a class, libstdc++'s own comparison
// knows it only as a reference, of the class's own alignment, for which clang calls libatomic.)
template <class T>
class WordAtomic : public seen_atomic<T> {
 public:
  using seen_atomic<T>::seen_atomic;

  bool compare_and_swap(T old, T next, std::memory_order order) noexcept {
    if constexpr (std::is_scalar_v<T>) {
      return this->compare_exchange_strong(old, next, order);
    } else if constexpr (kBytesTell<T>) {
      return ValueBytes<T>(old).exchange_in(*this, ValueBytes<T>(next));
    } else {
      ValueBytes<T> found(*this);
      while (same_value<T>(found.value(), old)) {
        if (found.exchange_in(*this, ValueBytes<T>(next))) {
          return true;
        }
      }
      return false;
    }
  }
};

// Lets other threads run; `round`: how often that was called before.
HAMGAM_API void brief_wait(int round) noexcept;

// A lock to be held for some instructions, none of which can park. Who waits for it lets other
// threads run after some turns.
class BriefLock {
 public:
  constexpr BriefLock() noexcept = default;
  BriefLock(const BriefLock&) = delete;
  BriefLock& operator=(const BriefLock&) = delete;

  // Sequentially consistent, so that operations on several such values are in one order.
  void lock() noexcept {
    unsigned turns = 0;
    // [brief.1] seq_cst, pairs with [brief.2] and with itself
    while (busy_.exchange(true, kSeqCst)) {
      spin_pause();
      if (++turns % 64 == 0) {
        brief_wait(static_cast<int>(turns / 64 - 1));
      }
    }
  }
  void unlock() noexcept {
    busy_.store(false, kRelease);  // [brief.2] release, pairs with [brief.1]
  }

 private:
  atomic<bool> busy_{false};
};

// What Atomic uses of std::atomic, for a T of any size.
template <class T>
class LockedAtomic {
 public:
  static constexpr bool is_always_lock_free = false;

  constexpr LockedAtomic(T value) noexcept
      : value_(value) {}  // NOLINT(google-explicit-constructor)

  T load(std::memory_order /*seq_cst*/) const noexcept {
    T const value = locked([this] { return value_; });
    tsan_acquire(this);
    return value;
  }
  void store(T value, std::memory_order /*seq_cst*/) noexcept {
    tsan_release(this);
    locked([&] { value_ = value; });
  }
  T exchange(T value, std::memory_order /*seq_cst*/) noexcept {
    tsan_release(this);
    T const former = locked([&] {
      T const had = value_;
      value_ = value;
      return had;
    });
    tsan_acquire(this);
    return former;
  }
  bool compare_and_swap(T old, T next, std::memory_order /*seq_cst*/) noexcept {
    tsan_release(this);
    bool same = false;
    if constexpr (kBytesTell<T>) {
      same = locked([&] {
        bool const is_old = same_value<T>(value_, old);
        if (is_old) {
          value_ = next;
        }
        return is_old;
      });
    } else {
      // Compared without the lock, so again if the value has changed meanwhile.
      for (bool changed = true; changed;) {
        ValueBytes<T> const found = bytes();
        same = same_value<T>(found.value(), old);
        if (!same) {
          break;
        }
        changed = locked([&] {
          if (!(ValueBytes<T>(value_) == found)) {
            return true;
          }
          value_ = next;
          return false;
        });
      }
    }
    tsan_acquire(this);
    return same;
  }

  explicit operator ValueBytes<T>() const noexcept {
    ValueBytes<T> const value = bytes();
    tsan_acquire(this);
    return value;
  }

 private:
  ValueBytes<T> bytes() const noexcept {
    return locked([this] { return ValueBytes<T>(value_); });
  }

  template <class F>
  auto locked(F f) const noexcept {
    struct Section {
      BriefLock& lock;
      TsanIgnore ignore{};
      explicit Section(BriefLock& l) noexcept : lock(l) { lock.lock(); }
      ~Section() { lock.unlock(); }
      Section(const Section&) = delete;
      Section& operator=(const Section&) = delete;
    } const section(lock_);
    return f();
  }

  mutable BriefLock lock_;
  T value_;
};

template <class T>
using AnyAtomic = std::conditional_t<kIsWord<T>, WordAtomic<T>, LockedAtomic<T>>;

}  // namespace hamgam::inline HAMGAM_ABI::detail
