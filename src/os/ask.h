// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// To make a thread of this process stop for a moment and call a function of ours, wherever it is:
// in the program's code, in a call that blocks. By SIGURG, as Go does: what it is for nobody uses
// (a connection's urgent data), programs must expect it for no reason, it does nothing where there
// is no handler, so one that comes late does no harm, not even after an exec; debuggers pass it on
// without a word. A real-time signal that nobody handles may yet be somebody's, who waits for it by
// sigwait(3) or a descriptor, and it ends the process if it comes too late.
//
// A program that handles SIGURG itself keeps it: then nobody is asked.

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// Called on the alternate stack, where the thread has one, with most signals blocked. `stack`: the
// stack pointer of what it interrupts; null where that is not known. It must call nothing that is
// not safe in the handler of a signal.
using Asked = void (*)(const void* stack) noexcept;

// Installs the handler unless it is there. False: the program has one of its own. By one caller at
// a time, and always with the same function.
[[nodiscard]] bool may_ask_threads(Asked asked) noexcept;

// Does the unwinder find its tables without locks, which the thread that is interrupted may have?
// Asked before the first, and not in a handler.
[[nodiscard]] bool can_unwind_in_handlers() noexcept;

// False: there is no such thread. It need not come to the call: it may block the signal.
[[nodiscard]] bool ask_thread(int id) noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
