// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Valgrind must know the stacks that a program switches between, or it takes a switch for a huge
// frame and what lies there for garbage. Its own header may be missing where this is built, so the
// few requests are spelled here: a sequence of instructions that does nothing but under Valgrind.

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

bool running_on_valgrind() noexcept;

// Between these addresses there is a stack; returns what forgets it again. Nothing happens outside
// Valgrind.
unsigned long register_stack(const void* bottom, const void* top) noexcept;
void forget_stack(unsigned long id) noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
