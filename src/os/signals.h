// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include <cstddef>
#include <string_view>

#include "hamgam/detail/config.h"
#include "os/clock.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// Called on the alternate stack with the address that faulted, also if it was the kernel that could
// not write a signal's frame there. It returns if the fault is not its business; the handler that
// was there before then gets it.
using FaultHook = void (*)(const void* address) noexcept;

// Installs the hook for SIGSEGV and SIGBUS. Once per process. `last` is called in the same way if
// the fault is going to end the process, as soon as it returns: it may be called by several threads
// at a time, and in the middle of itself.
void install_fault_hook(FaultHook hook, FaultHook last) noexcept;

// On this thread: one that is blocked ends the process without its handler.
void unblock_faults() noexcept;

// Gives the calling thread an alternate signal stack, unless it has one; and takes that back at the
// thread's end. False: there is no memory for it.
bool give_signal_stack() noexcept;
void drop_signal_stack() noexcept;

// From now on `told` is called when the signal comes, on the alternate stack where there is one; in
// the child of a fork it does what it did before. False, if the system refuses. For one signal.
[[nodiscard]] bool install_signal_hook(int signal, void (*told)() noexcept) noexcept;

// Writes to standard error, all of it, however long it takes; may be called in a signal handler.
void write_error(std::string_view text) noexcept;
void write_error(unsigned long long number) noexcept;
// The same, but if nobody takes any of it for so long, or it can't be written, false.
[[nodiscard]] bool write_error_within(std::string_view text, Nanos patience) noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
