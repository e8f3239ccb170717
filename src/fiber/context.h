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
//   char* stack_pointer_of(const Context&);
//       Where the stack of one that is not running ends for now. Null: not known.
//   char* frame_pointer_of(const Context&);
//       The frame pointer of the function that it is in. Null: not known.
//   void* switch_context<kEnding>(Context& from, Context& to, void* pass);
//       Saves where we are in `from` and resumes `to`, whose own switch_context returns `pass`.
//       Returns when somebody resumes `from`, with what that one passed; possibly on another
//       thread, so nothing thread-local that was read before the call may be used after it.
//       kEnding: nobody will resume `from`.
//   Context::saved
//       True from the moment on at which all else is saved and the stack is not used any more,
//       until the one who is about to resume it clears it; never for one that ends. Where
//       kTellsWhenSaved is false, it is not told.
//   kSavedRegisters, kResumeBytes
//       For debuggers: where in the Context is what, the stack pointer first and then where it goes
//       on; and how long the instruction there is, 0 if that is behind a call.
//   Context::held
//       For who wants to look at the stack of one that is saved (sched/hold.h).
//
// The floating-point control words belong to the thread, not to the Context.

#include <cstddef>

#include "hamgam/detail/atomic.h"
#include "hamgam/detail/config.h"

// For the assembly of a switch: between the two no unwinder goes beyond the function it is in.
#if defined(__GCC_HAVE_DWARF2_CFI_ASM)
#define HAMGAM_UNWINDERS_STOP(return_address) \
  ".cfi_remember_state\n\t.cfi_undefined " return_address "\n\t"
#define HAMGAM_UNWINDERS_GO_ON ".cfi_restore_state\n\t"
#else
#define HAMGAM_UNWINDERS_STOP(return_address)
#define HAMGAM_UNWINDERS_GO_ON
#endif

// Supplied by the user of this header; `used`, as only assembly names it.
extern "C" [[noreturn]] __attribute__((used)) void hamgam_fiber_entry(void* pass);

namespace hamgam::inline HAMGAM_ABI::detail {
struct SavedRegister {
  const char* name;  // as debuggers call it
  std::size_t offset;
};
}  // namespace hamgam::inline HAMGAM_ABI::detail

#if defined(HAMGAM_CONTEXT_UCONTEXT)
#include "fiber/context_ucontext.h"
#elif defined(__x86_64__)
#include "fiber/context_x86_64.h"
#elif defined(__aarch64__)
#include "fiber/context_aarch64.h"
#else
#include "fiber/context_ucontext.h"
#endif
