// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Rejected: a function that pushes the callee-saved registers and returns (11 ns: the return
// address is mispredicted), Boost.Context's jump (7 ns). Instead the switch is inline and tells the
// compiler that every register is lost, so it spills what is live and nothing else; it resumes by
// an indirect jump, and the resume point stands in the Context, where debuggers and dumps find it.
//
// A profiler's signal may come at any instruction. Once the stack pointer is the other's, what the
// unwind tables say of the code is about the wrong stack: there unwinders are told to stop. Those
// that follow frame pointers instead find two zero words where a fresh stack begins.

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
    {"rsp", offsetof(Context, sp)}, {"rip", offsetof(Context, pc)}, {"rbp", offsetof(Context, fp)}};
inline constexpr std::size_t kResumeBytes = 4;  // endbr64

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

#if defined(__AVX512F__)
#define HAMGAM_AVX512_CLOBBERS                                                                  \
  , "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25",   \
      "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31", "k1", "k2", "k3", "k4", "k5", "k6", \
      "k7"
#else
#define HAMGAM_AVX512_CLOBBERS
#endif

// The last store of the four is visible last: x86-64 keeps stores in order.
template <bool kEnding>
HAMGAM_INLINE void* switch_context(Context& from, Context& to, void* pass) noexcept {
  Context* source = &from;
  Context* target = &to;
  asm volatile(
      "leaq 1f(%%rip), %%rax\n\t"
      "movq %%rsp, 0(%[from])\n\t"
      "movq %%rbp, 8(%[from])\n\t"
      "movq %%rax, 16(%[from])\n\t"
      "movb %[saved], 24(%[from])\n\t"
      HAMGAM_UNWINDERS_STOP("rip")
      "movq 0(%[to]), %%rsp\n\t"
      "movq 8(%[to]), %%rbp\n\t"
      "jmpq *16(%[to])\n\t"
      ".balign 16\n"
      "1:\n\t"
      HAMGAM_UNWINDERS_GO_ON
      "endbr64\n\t"
      : [from] "+D"(source), [to] "+S"(target), [pass] "+d"(pass)
      : [saved] "i"(kEnding ? 0 : 1)
      : "rax", "rbx", "rcx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "xmm0", "xmm1",
        "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
        "xmm13", "xmm14", "xmm15" HAMGAM_AVX512_CLOBBERS, "memory", "cc");
  return pass;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
