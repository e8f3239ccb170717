// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Fiber: a Context and what a switch must carry along: the exceptions in flight
// (libstdc++ keeps them per thread; without this a goroutine could not park inside a catch block),
// errno, and what the sanitizers want to be told.
//
// Thread safety: a Fiber is changed only by the thread that runs it or, while it is suspended, by
// the one that owns it.

#include <cxxabi.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>

#include "fiber/context.h"
#include "fiber/stack.h"
#include "hamgam/detail/atomic.h"
#include "hamgam/detail/config.h"
#include "os/memory.h"
#include "os/thread.h"

#if defined(HAMGAM_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(HAMGAM_TSAN)
#include <sanitizer/tsan_interface.h>
#include <sched.h>
extern "C" {
// The stack of the `new` that made a block, innermost first; how many frames.
int __tsan_get_alloc_stack(void* block, void** frames, std::size_t most, int* thread,
                           unsigned long long* os_thread);
// What instrumented code calls at the beginning and the end of a function.
void __tsan_func_entry(void* frame);
void __tsan_func_exit();
}
#endif

namespace hamgam::inline HAMGAM_ABI::detail {

#if defined(HAMGAM_TSAN)
// Users link a library that is not instrumented; there a switch orders nothing, so that goroutines
// which no primitive orders race even if one worker runs them in turn. In the build that tests the
// library itself, what one thread does is in order, also across a switch.
#if HAMGAM_TSAN_ALL
inline constexpr unsigned kTsanSwitchFlags = 0;
#else
inline constexpr unsigned kTsanSwitchFlags = __tsan_switch_to_fiber_no_sync;
#endif
#endif

// The layout that the Itanium C++ ABI gives __cxa_eh_globals.
struct ExceptionState {
  void* caught = nullptr;
  unsigned uncaught = 0;
};

// Where the current thread keeps what a switch carries along. Asked once per thread, as compilers
// would cache the answer over a switch to another thread.
struct ThreadState {
  ExceptionState* exceptions = nullptr;
  int* error = nullptr;

  HAMGAM_NOINLINE static ThreadState of_this_thread() noexcept {
    return {reinterpret_cast<ExceptionState*>(abi::__cxa_get_globals()), &errno};
  }
};

struct Fiber {
  [[no_unique_address]] Context context;  // its last bytes are free for the next
  int error = 0;
  [[no_unique_address]] ExceptionState exceptions;  // as the context
#if defined(HAMGAM_ASAN)
  void* fake_stack = nullptr;
  const void* asan_bottom = nullptr;
  std::size_t asan_size = 0;
#endif
#if defined(HAMGAM_TSAN)
  void* tsan = nullptr;
#endif
};

#if defined(HAMGAM_TSAN)
// __tsan_get_alloc_stack reads a table of threads that moves when a fiber is made, under no lock:
// one at a time. Not seen by ThreadSanitizer, or it would be an order between goroutines.
class TsanTable {
 public:
  __attribute__((no_sanitize("thread"))) TsanTable() noexcept {
    while (__atomic_test_and_set(&taken, __ATOMIC_ACQUIRE)) {
      sched_yield();
    }
  }
  __attribute__((no_sanitize("thread"))) ~TsanTable() noexcept {
    __atomic_clear(&taken, __ATOMIC_RELEASE);
  }
  TsanTable(const TsanTable&) = delete;
  TsanTable& operator=(const TsanTable&) = delete;

 private:
  static constinit inline bool taken = false;
};

// A fiber for ThreadSanitizer, which will say of it that it was created where the block was made,
// and which starts ordered after nobody: that is told apart (tsan_acquire in hamgam_fiber_entry).
HAMGAM_NOINLINE inline void* new_tsan_fiber(void* block) noexcept {
  constexpr int kFrames = 32;
  void* frames[kFrames];
  int thread = 0;
  unsigned long long os_thread = 0;
  TsanTable const table;
  int const count =
      block == nullptr ? 0 : __tsan_get_alloc_stack(block, frames, kFrames, &thread, &os_thread);
  for (int i = count - 1; i > 0; --i) {  // but the innermost, which is in operator new
    __tsan_func_entry(frames[i]);
  }
  TsanNoEdges const no_edges;
  void* const fiber = __tsan_create_fiber(0);
  for (int i = count - 1; i > 0; --i) {
    __tsan_func_exit();
  }
  return fiber;
}

// What ThreadSanitizer's reports call it.
inline void name_fiber(Fiber& fiber, std::uint64_t goroutine, const char* name) noexcept {
  TsanIgnore const ignore;
  char text[64];  // as much as ThreadSanitizer keeps
  std::snprintf(text, sizeof text, *name != '\0' ? "goroutine %llu \"%s\"" : "goroutine %llu",
                static_cast<unsigned long long>(goroutine), name);
  __tsan_set_fiber_name(fiber.tsan, text);
}
#endif

// Puts it on a stack, so that the first switch to the fiber runs hamgam_fiber_entry on it. `made`:
// a block that was allocated where the fiber was asked for.
inline void bind_stack(Fiber& fiber, Stack* stack, [[maybe_unused]] void* made = nullptr) noexcept {
  fiber.exceptions = {};
  fiber.error = 0;
#if defined(HAMGAM_ASAN)
  fiber.fake_stack = nullptr;
  fiber.asan_bottom = stack->bottom;
  fiber.asan_size = static_cast<std::size_t>(stack->top() - stack->bottom);
#endif
#if defined(HAMGAM_TSAN) || defined(HAMGAM_ASAN)
  forget_memory(stack->bottom, stack->size);
#endif
#if defined(HAMGAM_TSAN)
  fiber.tsan = new_tsan_fiber(made);
#endif
  prepare_context(fiber.context, stack->bottom, stack->top());
}

// Makes `fiber` stand for the calling thread's own stack.
inline void adopt_thread([[maybe_unused]] Fiber& fiber) noexcept {
#if defined(HAMGAM_ASAN)
  find_thread_stack(fiber.asan_bottom, fiber.asan_size);
#endif
#if defined(HAMGAM_TSAN)
  fiber.tsan = __tsan_get_current_fiber();
#endif
}

// Called once a fiber that ended is off its stack.
inline void retire_fiber([[maybe_unused]] Fiber& fiber) noexcept {
#if defined(HAMGAM_TSAN)
  __tsan_destroy_fiber(fiber.tsan);
  fiber.tsan = nullptr;
#endif
}

// To be called first on a fresh stack.
HAMGAM_INLINE void enter_fiber() noexcept {
#if defined(HAMGAM_ASAN)
  __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
}

// Switches; see switch_context.
template <bool kEnding = false>
HAMGAM_INLINE void* switch_fiber(const ThreadState& thread, Fiber& from, Fiber& to,
                                 void* pass) noexcept {
  from.exceptions = *thread.exceptions;
  from.error = *thread.error;
  *thread.exceptions = to.exceptions;
  *thread.error = to.error;
#if defined(HAMGAM_ASAN)
  __sanitizer_start_switch_fiber(kEnding ? nullptr : &from.fake_stack, to.asan_bottom,
                                 to.asan_size);
#endif
#if defined(HAMGAM_TSAN)
  __tsan_switch_to_fiber(to.tsan, kTsanSwitchFlags);
#endif
  void* passed = switch_context<kEnding>(from.context, to.context, pass);
#if defined(HAMGAM_ASAN)
  __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
  from.fake_stack = nullptr;
#endif
  return passed;
}

#if defined(HAMGAM_ASAN)
// f(begin, end) of what AddressSanitizer has put elsewhere of the stack of a fiber that is off it,
// to see uses after a return: frames, some of them more than once.
template <class F>
__attribute__((no_sanitize("address"))) void for_each_fake_frame(const Fiber& fiber,
                                                                 const Stack& stack, F f) {
  char* const end = stack_pointer_of(fiber.context);
  if (fiber.fake_stack == nullptr || end == nullptr) {
    return;
  }
  void* former = nullptr;
  for (auto* word = reinterpret_cast<void**>(end); word < reinterpret_cast<void**>(stack.top());
       ++word) {
    void* frame = nullptr;
    void* frame_end = nullptr;
    if (__asan_addr_is_in_fake_stack(fiber.fake_stack, *word, &frame, &frame_end) != nullptr &&
        frame != former) {
      f(reinterpret_cast<const std::uintptr_t*>(frame),
        reinterpret_cast<const std::uintptr_t*>(frame_end));
      former = frame;
    }
  }
}
#endif

}  // namespace hamgam::inline HAMGAM_ABI::detail
