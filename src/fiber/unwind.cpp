// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "fiber/unwind.h"

#include <unwind.h>

#include <csetjmp>
#include <cstdint>

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
  bool bridge = false;  // the first frame is the caller of the unwinder
};

_Unwind_Reason_Code visit(_Unwind_Context* context, void* raw) {
  auto& walk = *static_cast<Walk*>(raw);
  if (walk.bridge) {
    walk.bridge = false;
    return _URC_NO_REASON;
  }
  int exact = 0;
  auto const address = _Unwind_GetIPInfo(context, &exact);
  if (address == 0) {
    return _URC_END_OF_STACK;
  }
  if (walk.count == walk.most) {
    ++walk.count;
    return _URC_END_OF_STACK;
  }
  // NOLINTNEXTLINE(performance-no-int-to-ptr): as others are: behind what it is in
  walk.frames[walk.count++] = reinterpret_cast<const void*>(address + (exact != 0 ? 1 : 0));
  return _URC_NO_REASON;
}

#if HAMGAM_UNWINDS

// Whom a fault on this thread concerns.
thread_local constinit sigjmp_buf* t_escape = nullptr;

#endif

}  // namespace

#if HAMGAM_UNWINDS

HAMGAM_NOINLINE std::size_t unwind(const Context& context, const void** frames,
                                   std::size_t most) noexcept {
  static thread_local Walk walk;  // not on this stack: it is read after a longjmp
  walk = Walk{frames, most, 0, true};
  sigjmp_buf escape;
  if (sigsetjmp(escape, 0) == 0) {
    t_escape = &escape;
    (void)hamgam_unwind_from(&context, &visit, &walk);
  }
  t_escape = nullptr;
  return walk.count;
}

void escape_unwind() noexcept {
  if (t_escape != nullptr) {
    siglongjmp(*t_escape, 1);
  }
}

#else

std::size_t unwind(const Context& /*context*/, const void** /*frames*/,
                   std::size_t /*most*/) noexcept {
  return 0;
}

void escape_unwind() noexcept {}

#endif

HAMGAM_NOINLINE std::size_t unwind_here(const void** frames, std::size_t most) noexcept {
  Walk walk{frames, most, 0, true};
  _Unwind_Backtrace(&visit, &walk);
  return walk.count;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
