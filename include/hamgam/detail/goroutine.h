// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// What the go() template needs of a goroutine's record.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

#include "hamgam/detail/atomic.h"
#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI {
struct GoOptions;
}  // namespace hamgam::inline HAMGAM_ABI

namespace hamgam::inline HAMGAM_ABI::detail {

inline constexpr std::size_t kInlineClosure = 48;

// What is to be told when goroutines end: count of them, all with the same subject, at once. A
// goroutine's end may be told later, with those of others that run after it on the same worker, but
// only while one with the same subject is still running there.
using OnEnd = void (*)(void* subject, unsigned count);

struct Goroutine;
struct GoroutineExtras;
struct Stack;

// The first two cache lines of a goroutine's record: all that is touched of one that never parks.
struct alignas(64) GoroutineHead {
  void (*invoke)(void* closure) = nullptr;  // runs and destroys the closure
  void* argument = nullptr;                 // the closure: below, or on the heap
  OnEnd on_end = nullptr;                   // or null
  void* end_subject = nullptr;
  Goroutine* next = nullptr;  // in a run queue or a free list
  Stack* stack = nullptr;     // null until it first runs
  GoroutineExtras* extras = nullptr;
  atomic<std::uint64_t> id{0};  // 0: free
  alignas(16) std::byte closure[kInlineClosure];
  const void* created_at = nullptr;  // the call of go
  std::uint64_t created_by = 0;      // the id of the goroutine that did
};

// A record to put a closure in. Throws std::bad_alloc.
HAMGAM_API GoroutineHead* new_goroutine();
HAMGAM_API GoroutineHead* new_goroutine(GoOptions&& options);
HAMGAM_API void discard_goroutine(GoroutineHead* head) noexcept;
// Makes it runnable; the head belongs to the scheduler from here on.
HAMGAM_API void start_goroutine(GoroutineHead* head, void (*invoke)(void*), void* closure,
                                OnEnd on_end, void* end_subject) noexcept;

// Records are used again by goroutines that nothing orders; ThreadSanitizer must see a closure's
// memory as fresh each time, so there it is always on the heap.
#if defined(HAMGAM_TSAN)
inline constexpr bool kClosureInRecord = false;
#else
inline constexpr bool kClosureInRecord = true;
#endif

template <class C>
inline constexpr bool kFitsRecord =
    kClosureInRecord && sizeof(C) <= kInlineClosure && alignof(C) <= 16;

// An exception that nobody catches leaves the guard's destructor unrun: the process dies with its
// whole stack standing. The guard is for the end of C's life otherwise, goexit() included.
template <class C>
void invoke_closure(void* raw) {
  if constexpr (kFitsRecord<C>) {
    struct Guard {
      C* closure;
      ~Guard() { closure->~C(); }
    } const guard{static_cast<C*>(raw)};
    (*guard.closure)();
  } else {
    std::unique_ptr<C> const guard(static_cast<C*>(raw));
    (*guard)();
  }
}

// Inlined, as all that leads here: start_goroutine notes the place that it is called from, which is
// to be the program's, optimised or not, and not one that several starts of the same type share.
template <class C, class... Options>
HAMGAM_INLINE void launch_telling(OnEnd on_end, void* end_subject, C&& closure,
                                  Options&&... options) {
  using Closure = std::remove_cvref_t<C>;
  GoroutineHead* head = new_goroutine(std::forward<Options>(options)...);
  struct Guard {
    GoroutineHead* head;
    ~Guard() {
      if (head != nullptr) {
        discard_goroutine(head);
      }
    }
  } guard{head};
  void* place = nullptr;
  if constexpr (kFitsRecord<Closure>) {
    place = ::new (static_cast<void*>(head->closure)) Closure(std::forward<C>(closure));
  } else {
    place = new Closure(std::forward<C>(closure));
  }
  guard.head = nullptr;
  start_goroutine(head, &invoke_closure<Closure>, place, on_end, end_subject);
  HAMGAM_STAY_ON_STACK();
}

template <class C, class... Options>
HAMGAM_INLINE void launch(C&& closure, Options&&... options) {
  launch_telling(nullptr, nullptr, std::forward<C>(closure), std::forward<Options>(options)...);
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
