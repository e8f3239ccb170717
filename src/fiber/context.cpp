// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "fiber/context.h"

// Where a fiber begins: calls fiber_entry(pass) on its fresh stack. The return address is declared
// undefined, which is where unwinders stop: an exception that nobody catches is found to be
// uncaught while its whole stack still stands.

#if !defined(HAMGAM_CONTEXT_UCONTEXT) && (defined(__x86_64__) || defined(__aarch64__))

extern "C" [[gnu::used]] void hamgam_fiber_call(void* pass) { hamgam::detail::fiber_entry(pass); }

#if defined(__x86_64__)
asm(".text\n"
    ".globl hamgam_fiber_start\n"
    ".hidden hamgam_fiber_start\n"
    ".type hamgam_fiber_start, @function\n"
    ".balign 16\n"
    "hamgam_fiber_start:\n\t"
    ".cfi_startproc\n\t"
    ".cfi_undefined rip\n\t"
    "endbr64\n\t"
    "movq %rdx, %rdi\n\t"
    "call hamgam_fiber_call\n\t"
    "ud2\n\t"
    ".cfi_endproc\n"
    ".size hamgam_fiber_start, . - hamgam_fiber_start\n");
#else
asm(".text\n"
    ".globl hamgam_fiber_start\n"
    ".hidden hamgam_fiber_start\n"
    ".type hamgam_fiber_start, %function\n"
    ".balign 16\n"
    "hamgam_fiber_start:\n\t"
    ".cfi_startproc\n\t"
    ".cfi_undefined x30\n\t"
    "hint #36\n\t"  // bti j
    "mov x0, x2\n\t"
    "mov x30, xzr\n\t"
    "bl hamgam_fiber_call\n\t"
    "brk #1\n\t"
    ".cfi_endproc\n"
    ".size hamgam_fiber_start, . - hamgam_fiber_start\n");
#endif

#endif
