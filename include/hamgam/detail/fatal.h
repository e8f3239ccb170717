// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// Prints "fatal error: <text>" and a dump of the goroutines to standard error and aborts. For
// misuse after which the program's state can't be trusted; what can be is thrown as a Panic.
[[noreturn]] HAMGAM_API HAMGAM_COLD void fatal(const char* text) noexcept;

// Throws Panic(text).
[[noreturn]] HAMGAM_API HAMGAM_COLD void throw_panic(const char* text);

}  // namespace hamgam::inline HAMGAM_ABI::detail
