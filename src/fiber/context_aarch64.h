// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// The same idea as context_x86_64.h: inline, all registers declared lost, resumed by a branch. x29
// is saved by hand because it may be the frame pointer. x18, the platform's register elsewhere, is
// one like any other on Linux. What unwinders find in the middle of it is told there, too.

#include "hamgam/detail/config.h"

extern "C" void hamgam_fiber_start();

namespace hamgam::inline HAMGAM_ABI::detail {

struct Context {
  void* sp = nullptr;
  void* fp = nullptr;
  void* pc = nullptr;
  atomic<bool> saved{false};
  atomic<bool> held{false};
};
static_assert(sizeof(Context) == 32 && sizeof(atomic<bool>) == 1, "the offsets below");

inline constexpr bool kTellsWhenSaved = true;
inline constexpr SavedRegister kSavedRegisters[] = {
    {"sp", offsetof(Context, sp)}, {"pc", offsetof(Context, pc)}, {"x29", offsetof(Context, fp)}};
inline constexpr std::size_t kResumeBytes = 4;  // hint

inline char* stack_pointer_of(const Context& context) noexcept {
  return static_cast<char*>(context.sp);
}

inline char* frame_pointer_of(const Context& context) noexcept {
  return static_cast<char*>(context.fp);
}

inline void prepare_context(Context& context, void* /*stack_bottom*/, void* stack_top) noexcept {
  auto* const top = static_cast<void**>(stack_top) - 2;  // 16-byte aligned
  top[0] = nullptr;
  top[1] = nullptr;
  context.sp = top;
  context.fp = top;
  context.pc = reinterpret_cast<void*>(&hamgam_fiber_start);
  context.saved.store(false, kRelaxed);  // relaxed: nobody else has it
}

template <bool kEnding>
HAMGAM_INLINE void* switch_context(Context& from, Context& to, void* pass) noexcept {
  register Context* source asm("x0") = &from;
  register Context* target asm("x1") = &to;
  register void* passed asm("x2") = pass;
  asm volatile(
      "adr x3, 1f\n\t"
      "mov x4, sp\n\t"
      "stp x4, x29, [x0]\n\t"
      "str x3, [x0, #16]\n\t"
      "add x5, x0, #24\n\t"
      "mov w6, %[saved]\n\t"
      "stlrb w6, [x5]\n\t"  // after the rest, and all that is on the stack
      HAMGAM_UNWINDERS_STOP("x30")
      "ldp x4, x29, [x1]\n\t"
      "ldr x3, [x1, #16]\n\t"
      "mov sp, x4\n\t"
      "br x3\n"
      "1:\n\t"
      HAMGAM_UNWINDERS_GO_ON
      "hint #36\n\t"  // bti j
      : "+r"(source), "+r"(target), "+r"(passed)
      : [saved] "i"(kEnding ? 0 : 1)
      : "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16",
        "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x30",
        "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13",
        "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26",
        "v27", "v28", "v29", "v30", "v31", "memory", "cc");
  return passed;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
