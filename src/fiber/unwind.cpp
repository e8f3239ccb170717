// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "fiber/unwind.h"

#include <unwind.h>

#include <csetjmp>
#include <cstdint>

#include "os/signals_off.h"

// hamgam_unwind_from(context, visit, argument) calls _Unwind_Backtrace(visit, argument), and says
// of itself, by its unwind table, that it was called from where the context was saved: stack
// pointer, frame pointer and return address are in the context, which the register says that is
// kept over the call. So the unwinder that exceptions use does the work; it finds the tables
// without a lock. The frame is marked as that of a signal, since the address where a context goes
// on is no return address: what is looked up is itself and not the byte before it.

#if !defined(HAMGAM_CONTEXT_UCONTEXT) && defined(__x86_64__)
#define HAMGAM_UNWINDS 1
asm(".text\n"
    ".hidden hamgam_unwind_from\n"
    ".globl hamgam_unwind_from\n"
    ".type hamgam_unwind_from, @function\n"
    ".balign 16\n"
    "hamgam_unwind_from:\n\t"
    ".cfi_startproc\n\t"
    ".cfi_signal_frame\n\t"
    "endbr64\n\t"
    "pushq %rbx\n\t"
    ".cfi_def_cfa_offset 16\n\t"
    ".cfi_offset rbx, -16\n\t"
    "movq %rdi, %rbx\n\t"
    "movq %rsi, %rdi\n\t"
    "movq %rdx, %rsi\n\t"
    ".cfi_remember_state\n\t"
    ".cfi_escape 0x0f, 3, 0x73, 0, 0x06\n\t"     // CFA: [rbx]
    ".cfi_escape 0x10, 0x06, 2, 0x73, 8\n\t"     // rbp at rbx + 8
    ".cfi_escape 0x10, 0x10, 2, 0x73, 0x10\n\t"  // rip at rbx + 16
    ".cfi_undefined rbx\n\t"
    "call _Unwind_Backtrace@PLT\n\t"
    ".cfi_restore_state\n\t"
    "popq %rbx\n\t"
    ".cfi_def_cfa_offset 8\n\t"
    ".cfi_restore rbx\n\t"
    "ret\n\t"
    ".cfi_endproc\n"
    ".size hamgam_unwind_from, . - hamgam_unwind_from\n");
#elif !defined(HAMGAM_CONTEXT_UCONTEXT) && defined(__aarch64__)
#define HAMGAM_UNWINDS 1
asm(".text\n"
    ".hidden hamgam_unwind_from\n"
    ".globl hamgam_unwind_from\n"
    ".type hamgam_unwind_from, %function\n"
    ".balign 16\n"
    "hamgam_unwind_from:\n\t"
    ".cfi_startproc\n\t"
    ".cfi_signal_frame\n\t"
    "hint #34\n\t"  // bti c
    "stp x29, x30, [sp, #-32]!\n\t"
    ".cfi_def_cfa_offset 32\n\t"
    ".cfi_offset x29, -32\n\t"
    ".cfi_offset x30, -24\n\t"
    "str x19, [sp, #16]\n\t"
    ".cfi_offset x19, -16\n\t"
    "mov x19, x0\n\t"
    "mov x0, x1\n\t"
    "mov x1, x2\n\t"
    ".cfi_remember_state\n\t"
    ".cfi_escape 0x0f, 3, 0x83, 0, 0x06\n\t"   // CFA: [x19]
    ".cfi_escape 0x10, 29, 2, 0x83, 8\n\t"     // x29 at x19 + 8
    ".cfi_escape 0x10, 30, 2, 0x83, 0x10\n\t"  // x30 at x19 + 16
    ".cfi_undefined x19\n\t"
    "bl _Unwind_Backtrace\n\t"
    ".cfi_restore_state\n\t"
    "ldr x19, [sp, #16]\n\t"
    ".cfi_restore x19\n\t"
    "ldp x29, x30, [sp], #32\n\t"
    ".cfi_restore x29\n\t"
    ".cfi_restore x30\n\t"
    ".cfi_def_cfa_offset 0\n\t"
    "ret\n\t"
    ".cfi_endproc\n"
    ".size hamgam_unwind_from, . - hamgam_unwind_from\n");
#else
#define HAMGAM_UNWINDS 0
#endif

#if HAMGAM_UNWINDS
extern "C" int hamgam_unwind_from(const hamgam::detail::Context* context,
                                  _Unwind_Reason_Code (*visit)(_Unwind_Context*, void*),
                                  void* argument);
#endif

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

struct Walk {
  const void** frames;
  std::size_t most;
  std::size_t count = 0;
  int skips = 0;         // so many frames, which are of the walk itself
  bool handler = false;  // up to the frame that was interrupted they are of the handler
};

_Unwind_Reason_Code visit(_Unwind_Context* context, void* raw) {
  auto& walk = *static_cast<Walk*>(raw);
  if (walk.skips > 0) {
    --walk.skips;
    return _URC_NO_REASON;
  }
  int exact = 0;
  auto const address = _Unwind_GetIPInfo(context, &exact);
  if (address == 0) {
    return _URC_END_OF_STACK;
  }
  if (walk.handler && exact == 0) {
    return _URC_NO_REASON;
  }
  walk.handler = false;
  if (walk.count == walk.most) {
    ++walk.count;
    return _URC_END_OF_STACK;
  }
  // NOLINTNEXTLINE(performance-no-int-to-ptr): as others are: behind what it is in
  walk.frames[walk.count++] = reinterpret_cast<const void*>(address + (exact != 0 ? 1 : 0));
  return _URC_NO_REASON;
}

struct Guard {
  sigjmp_buf escape;
  Guard* outer;  // that a handler has interrupted
};

// Whom a fault on this thread concerns. In the static block of each thread: handlers touch it.
#if defined(__x86_64__) || defined(__aarch64__)
__attribute__((tls_model("initial-exec")))
#endif
thread_local constinit Guard* t_guard = nullptr;

// From `context`, or null: from here. A function of its own, so that the walk is not on its stack,
// which is read after a longjmp.
HAMGAM_NOINLINE void walk_guarded([[maybe_unused]] const Context* context, Walk& walk) noexcept {
  Guard guard;
  guard.outer = t_guard;
  if (sigsetjmp(guard.escape, 0) == 0) {
    t_guard = &guard;
    asm volatile("" ::: "memory");  // it is seen by handlers from here
#if HAMGAM_UNWINDS
    if (context != nullptr) {
      (void)hamgam_unwind_from(context, &visit, &walk);
    }
#endif
    if (context == nullptr) {
      _Unwind_Backtrace(&visit, &walk);
    }
  }
  asm volatile("" ::: "memory");  // to here
  t_guard = guard.outer;
}

}  // namespace

#if HAMGAM_UNWINDS
std::size_t unwind(const Context& context, const void** frames, std::size_t most) noexcept {
  Walk walk{frames, most, 0, 1};
  walk_guarded(&context, walk);
  return walk.count;
}
#else
std::size_t unwind(const Context& /*context*/, const void** /*frames*/,
                   std::size_t /*most*/) noexcept {
  return 0;
}
#endif

std::size_t unwind_interrupted(const void** frames, std::size_t most) noexcept {
  if (t_guard != nullptr) {
    return 0;
  }
  Walk walk{frames, most, 0, 0, true};
  walk_guarded(nullptr, walk);
  return walk.count;
}

void escape_unwind() noexcept {
  if (t_guard != nullptr) {
    siglongjmp(t_guard->escape, 1);
  }
}

HAMGAM_NOINLINE std::size_t unwind_here(const void** frames, std::size_t most) noexcept {
  Walk walk{frames, most, 0, 2};
  SignalsOff const off;  // a fault is the walk's then, not that of a handler of the program's
  walk_guarded(nullptr, walk);
  return walk.count;
}

#if defined(__GNUC__)
__attribute__((no_sanitize("address", "undefined", "thread")))
#endif
std::size_t
follow_frames(const void* frame, const void* stack_bottom, std::size_t stack_size,
              const void** frames, std::size_t most) noexcept {
  auto const bottom = reinterpret_cast<std::uintptr_t>(stack_bottom);
  auto const top = bottom + stack_size - 2 * sizeof(void*);
  auto at = reinterpret_cast<std::uintptr_t>(frame);
  std::size_t count = 0;
  while (count < most) {
    if (at < bottom || at > top || at % sizeof(void*) != 0) {
      break;
    }
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    auto const next = *reinterpret_cast<const std::uintptr_t*>(at);
    if (next <= at || next > top || next % sizeof(void*) != 0) {
      break;
    }
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    frames[count++] = *reinterpret_cast<const void* const*>(next + sizeof(void*));
    at = next;
  }
  return count;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
