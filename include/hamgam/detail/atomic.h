// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// The one door through which Hamgam's own code takes its atomics (a build for schedule exploration
// replaces this file). Every access names its order with one of the constants below; each access
// that is not relaxed carries a tag that names its partner, each relaxed one its reason;
// tools/check_orders enforces both.
//
// Where ThreadSanitizer looks for races of users (HAMGAM_SANITIZE=thread-user), it must see nothing
// of ours but the documented edges: inline functions of our headers are compiled with the user's
// code, so their atomics would be edges that nobody promised, and accesses to memory that we know
// to be ours only by what it cannot see. There an atomic is one that calls the library, which is
// not instrumented, and words that are shared without being atomic are not touched in headers.

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "hamgam/detail/config.h"

#if defined(HAMGAM_TSAN)
#include <sanitizer/tsan_interface.h>
extern "C" {
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
void AnnotateIgnoreSyncBegin(const char* file, int line);
void AnnotateIgnoreSyncEnd(const char* file, int line);
}
#endif

namespace hamgam::inline HAMGAM_ABI::detail {

inline constexpr auto kRelaxed = std::memory_order::relaxed;
inline constexpr auto kAcquire = std::memory_order::acquire;
inline constexpr auto kRelease = std::memory_order::release;
inline constexpr auto kAcqRel = std::memory_order::acq_rel;
inline constexpr auto kSeqCst = std::memory_order::seq_cst;

// One that ThreadSanitizer is to see: the user's own.
template <class T>
using seen_atomic = std::atomic<T>;

#if HAMGAM_TSAN_USER

// The accesses of an atomic word, out of ThreadSanitizer's sight (src/base/unseen.cpp). All are
// sequentially consistent.
template <class Word>
struct HAMGAM_API Unseen {
  static Word load(const void* word) noexcept;
  static void store(void* word, Word value) noexcept;
  static Word exchange(void* word, Word value) noexcept;
  static bool compare_exchange(void* word, Word& expected, Word desired) noexcept;
  static Word add(void* word, Word value) noexcept;
  static Word bit_and(void* word, Word value) noexcept;
  static Word bit_or(void* word, Word value) noexcept;
};

template <std::size_t size>
struct UnseenWord;
template <>
struct UnseenWord<1> {
  using Type = std::uint8_t;
};
template <>
struct UnseenWord<4> {
  using Type = std::uint32_t;
};
template <>
struct UnseenWord<8> {
  using Type = std::uint64_t;
};

// What we use of std::atomic.
template <class T>
class atomic {
  using Word = typename UnseenWord<sizeof(T)>::Type;
  using Order = std::memory_order;

 public:
  constexpr atomic() noexcept : value_() {}
  constexpr atomic(T value) noexcept : value_(value) {}  // NOLINT(google-explicit-constructor)
  atomic(const atomic&) = delete;
  atomic& operator=(const atomic&) = delete;

  operator T() const noexcept {  // NOLINT(google-explicit-constructor)
    return load(kSeqCst);
  }
  T load(Order /*order*/) const noexcept { return value_of(Unseen<Word>::load(&value_)); }
  void store(T value, Order /*order*/) noexcept { Unseen<Word>::store(&value_, word_of(value)); }
  T exchange(T value, Order /*order*/) noexcept {
    return value_of(Unseen<Word>::exchange(&value_, word_of(value)));
  }
  bool compare_exchange_strong(T& expected, T desired, Order /*success*/,
                               Order /*failure*/ = kSeqCst) noexcept {
    Word word = word_of(expected);
    bool const done = Unseen<Word>::compare_exchange(&value_, word, word_of(desired));
    expected = value_of(word);
    return done;
  }
  bool compare_exchange_weak(T& expected, T desired, Order success,
                             Order failure = kSeqCst) noexcept {
    return compare_exchange_strong(expected, desired, success, failure);
  }
  T fetch_add(T value, Order /*order*/) noexcept {
    return value_of(Unseen<Word>::add(&value_, word_of(value)));
  }
  T fetch_sub(T value, Order /*order*/) noexcept {
    return value_of(Unseen<Word>::add(&value_, static_cast<Word>(0 - word_of(value))));
  }
  T fetch_and(T value, Order /*order*/) noexcept {
    return value_of(Unseen<Word>::bit_and(&value_, word_of(value)));
  }
  T fetch_or(T value, Order /*order*/) noexcept {
    return value_of(Unseen<Word>::bit_or(&value_, word_of(value)));
  }

 private:
  static Word word_of(T value) noexcept { return __builtin_bit_cast(Word, value); }
  static T value_of(Word word) noexcept { return __builtin_bit_cast(T, word); }

  alignas(sizeof(T)) T value_;
};

// A word that is not atomic but is not to be seen either: those who share it are kept apart by what
// ThreadSanitizer does not see.
template <class T>
class unseen {
 public:
  constexpr unseen() noexcept = default;
  constexpr unseen(T value) noexcept : word_(value) {}  // NOLINT(google-explicit-constructor)
  unseen& operator=(T value) noexcept {
    word_.store(value, kRelaxed);
    return *this;
  }
  operator T() const noexcept {  // NOLINT(google-explicit-constructor)
    return word_.load(kRelaxed);
  }
  T operator->() const noexcept { return *this; }

 private:
  atomic<T> word_;
};

#else

template <class T>
using atomic = std::atomic<T>;

template <class T>
using unseen = T;

#endif

// A full fence. Written as a read-modify-write because that is the cheaper spelling on x86-64 and
// the only one that ThreadSanitizer understands.
HAMGAM_INLINE void full_fence() noexcept {
#if HAMGAM_TSAN_ALL
  static atomic<std::uint32_t> word{0};
  word.fetch_add(1, std::memory_order::seq_cst);
#elif defined(__x86_64__)
  asm volatile("lock orl $0, -4(%%rsp)" ::: "memory", "cc");
#elif HAMGAM_TSAN_USER && defined(__aarch64__)
  asm volatile("dmb ish" ::: "memory");  // gcc refuses the fence below
#else
  std::atomic_thread_fence(std::memory_order::seq_cst);
#endif
}

// The same directly behind a sequentially consistent read-modify-write: that one is a full fence on
// x86-64, but with the exclusive loads and stores of AArch64 later loads may overtake its store.
HAMGAM_INLINE void fence_after_rmw() noexcept {
#if defined(__x86_64__)
  asm volatile("" ::: "memory");
#else
  full_fence();
#endif
}

// Tells the processor that this is a spin loop.
HAMGAM_INLINE void spin_pause() noexcept {
#if defined(__x86_64__)
  asm volatile("pause" ::: "memory");
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#else
  asm volatile("" ::: "memory");
#endif
}

// The documented happens-before edges, told to ThreadSanitizer in the builds that have it: where
// users' races are looked for, these are the only edges that it knows of ours. All that was
// released at an address, by anybody, is before whoever acquires it after that.
HAMGAM_INLINE void tsan_release([[maybe_unused]] const volatile void* address) noexcept {
#if defined(HAMGAM_TSAN)
  __tsan_release(const_cast<void*>(address));
#endif
}

HAMGAM_INLINE void tsan_acquire([[maybe_unused]] const volatile void* address) noexcept {
#if defined(HAMGAM_TSAN)
  __tsan_acquire(const_cast<void*>(address));
#endif
}

// What was released at the address concerns nobody any more: it stands for something else now.
// (Freed memory is forgotten by itself, not so records and stacks that are used again.)
HAMGAM_INLINE void tsan_forget([[maybe_unused]] const volatile void* address) noexcept {
#if HAMGAM_TSAN_USER
  AnnotateIgnoreWritesBegin(__FILE__, __LINE__);  // it counts as one
  __tsan_mutex_destroy(const_cast<void*>(address), 0);
  AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
#endif
}

// While it lives, ThreadSanitizer overlooks what this goroutine or thread does to memory: for the
// library's own use of malloc, free and memmove on data that only its own locks protect, which
// ThreadSanitizer does not see.
class TsanIgnore {
 public:
  TsanIgnore() noexcept {  // NOLINT(modernize-use-equals-default)
#if defined(HAMGAM_TSAN)
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
#endif
  }
  ~TsanIgnore() {  // NOLINT(modernize-use-equals-default)
#if defined(HAMGAM_TSAN)
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
#endif
  }
  TsanIgnore(const TsanIgnore&) = delete;
  TsanIgnore& operator=(const TsanIgnore&) = delete;
};

// The same where users' races are looked for only: for what is in order by what is not told to
// ThreadSanitizer there, but is seen by it where it looks at ourselves.
#if HAMGAM_TSAN_USER
using TsanHide = TsanIgnore;
#else
class TsanHide {
 public:
  TsanHide() noexcept {}  // NOLINT(modernize-use-equals-default): so that it counts as used
  ~TsanHide() {}          // NOLINT(modernize-use-equals-default)
  TsanHide(const TsanHide&) = delete;
  TsanHide& operator=(const TsanHide&) = delete;
};
#endif

// While it lives, nothing that this goroutine or thread does is an edge: for what orders things
// without having promised to.
class TsanNoEdges {
 public:
  TsanNoEdges() noexcept {  // NOLINT(modernize-use-equals-default)
#if HAMGAM_TSAN_USER
    AnnotateIgnoreSyncBegin(__FILE__, __LINE__);
#endif
  }
  ~TsanNoEdges() {  // NOLINT(modernize-use-equals-default)
#if HAMGAM_TSAN_USER
    AnnotateIgnoreSyncEnd(__FILE__, __LINE__);
#endif
  }
  TsanNoEdges(const TsanNoEdges&) = delete;
  TsanNoEdges& operator=(const TsanNoEdges&) = delete;
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
