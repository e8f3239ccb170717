// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include <cstddef>

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// Called on the alternate stack with the address that faulted, also if it was the kernel that could
// not write a signal's frame there. It returns if the fault is not its business; the handler that
// was there before then gets it.
using FaultHook = void (*)(const void* address) noexcept;

// Installs the hook for SIGSEGV and SIGBUS. Once per process. `last` is called in the same way,
// once, if the fault is going to end the process.
void install_fault_hook(FaultHook hook, FaultHook last) noexcept;

// Gives the calling thread an alternate signal stack, unless it has one; and takes that back at the
// thread's end.
void give_signal_stack() noexcept;
void drop_signal_stack() noexcept;

// Writes to standard error; may be called in a signal handler.
void write_error(const char* text) noexcept;
void write_error(unsigned long long number) noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
