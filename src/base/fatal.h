// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include "hamgam/detail/fatal.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// What fatal() calls between its line and abort(). The scheduler sets it to its goroutine dump:
// base itself knows of no goroutine.
using FatalDump = void (*)() noexcept;
void set_fatal_dump(FatalDump dump) noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
