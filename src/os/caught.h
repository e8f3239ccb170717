// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Signals that are caught: a handler counts them, for somebody who may do more than a handler.
//
// The handler touches atomics only, calls `told`, keeps errno, and runs on the alternate stack
// where there is one (a goroutine's own is small), with all signals blocked. Calls that it
// interrupts are begun again (SA_RESTART) where the system does that.
//
// Processes. What is executed has the default actions, as with any handler, and nobody's mask is
// changed. In the child of a fork the signals do what they did before they were caught: at once
// where fork was called, so that what was ignored stays so through exec, and with the first signal
// of its kind where the child was made in another way (the handler looks whose process it is).

#include <cstdint>

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

inline constexpr int kSignals = 64;  // they are numbered from 1

// Can a handler be there for it that has time to tell others? Null, or why not.
const char* why_not_caught(int signal) noexcept;

// "terminated": as Go says it; "signal 40" for those without a name. A literal, or into the buffer.
const char* signal_name(int signal, char (&buffer)[24]) noexcept;

// From now on it is counted; what it did before is kept. `told` is called in the handler; it is the
// same for all. 0, or the error. By one at a time, and of those that are not caught.
int catch_signal(int signal, void (*told)() noexcept) noexcept;

// Puts back what was kept, unless somebody has put another handler there meanwhile.
void let_signal_go(int signal) noexcept;

// Until no handler is at work that began before the call. One to which the kernel has switched, and
// which has not come to its first instruction, can't be seen: what it counts is for send_again.
void await_handlers() noexcept;

// How often it came since the last call.
std::uint32_t take_caught(int signal) noexcept;

// Sends it to this process once more, unless another handler has had it.
void send_again(int signal) noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
