// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// The frames of a stack that nobody runs on: of a Context that is saved and can't be resumed
// meanwhile.

#include <cstddef>

#include "fiber/context.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// Fills `frames` with the return addresses, innermost first, and returns how many there are; one
// more than `most` if there would be more. 0: unknown. Takes no lock and no memory.
//
// The stack need not be a good one: code without unwind tables ends the walk, and so does a fault
// in it, which escape_unwind() is told of.
std::size_t unwind(const Context& context, const void** frames, std::size_t most) noexcept;

// The same from where it is called.
std::size_t unwind_here(const void** frames, std::size_t most) noexcept;

// The same in the handler of a signal, from where that has interrupted. May be called wherever that
// was, after unwind_here() has been called once. 0 if it has interrupted one of these.
std::size_t unwind_interrupted(const void** frames, std::size_t most) noexcept;

// Up the frame pointers from `frame`, a function's own, as far as they look like some that lie
// within that stack: the return address of that function's caller, and so on. Takes some
// nanoseconds a frame; sees nothing of functions that keep no frame pointer. Returns how many there
// are.
std::size_t follow_frames(const void* frame, const void* stack_bottom, std::size_t stack_size,
                          const void** frames, std::size_t most) noexcept;

// In the handler of a fault: does not return if it was an unwind() of this thread that struck it.
void escape_unwind() noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
