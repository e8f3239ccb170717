// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Context: where a stack of execution goes on. One of three files supplies it:
//
//   struct Context;
//       Where to resume. Trivially destructible; zero-initialised is "never started".
//   void prepare_context(Context&, void* stack_bottom, void* stack_top);
//       Makes the first switch_context to it call hamgam_fiber_entry(pass) at the top of that
//       stack.
//   void* switch_context(Context& from, Context& to, void* pass);
//       Saves where we are in `from` and resumes `to`, whose own switch_context returns `pass`.
//       Returns when somebody resumes `from`, with what that one passed; possibly on another
//       thread, so nothing thread-local that was read before the call may be used after it.
//
// The floating-point control words belong to the thread, not to the Context.

#include "hamgam/detail/config.h"

// Supplied by the user of this header. Named for the assembler, which jumps to it.
extern "C" [[noreturn]] void hamgam_fiber_entry(void* pass);

#if defined(HAMGAM_CONTEXT_UCONTEXT)
#include "fiber/context_ucontext.h"
#elif defined(__x86_64__)
#include "fiber/context_x86_64.h"
#elif defined(__aarch64__)
#include "fiber/context_aarch64.h"
#else
#include "fiber/context_ucontext.h"
#endif
