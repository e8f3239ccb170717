// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include "hamgam/detail/fatal.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// What fatal() calls before abort(): it prints "fatal error: text" and more. The scheduler sets it
// to its goroutine dump: base itself knows of no goroutine.
using FatalDump = void (*)(const char* text) noexcept;
void set_fatal_dump(FatalDump dump) noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
