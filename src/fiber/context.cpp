// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "fiber/context.h"

// Where a fiber begins: goes to hamgam_fiber_entry(pass) on its fresh stack. The return address,
// which points back here, is declared undefined: that is where unwinders stop, so an exception that
// nobody catches is found to be uncaught while its whole stack still stands. A jump and not a call,
// because a call that never returns would put the processor's return predictor out of step with the
// goroutine that runs next.

#if defined(__CET__) && (__CET__ & 2) || defined(__ARM_FEATURE_GCS_DEFAULT)
#error "no shadow stacks: -fcf-protection=none -fcf-protection=branch, -mbranch-protection=bti"
#endif

#if !defined(HAMGAM_CONTEXT_UCONTEXT) && (defined(__x86_64__) || defined(__aarch64__))

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
    "leaq 1f(%rip), %rax\n\t"
    "pushq %rax\n\t"
    "jmp hamgam_fiber_entry\n"
    "1:\n\t"
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
    "adr x30, 1f\n\t"
    "b hamgam_fiber_entry\n"
    "1:\n\t"
    "brk #1\n\t"
    ".cfi_endproc\n"
    ".size hamgam_fiber_start, . - hamgam_fiber_start\n");
#endif

#endif
