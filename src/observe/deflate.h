// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include <string>
#include <string_view>

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// The text in zlib's format (RFC 1950). Throws std::bad_alloc.
std::string deflated(std::string_view text);

}  // namespace hamgam::inline HAMGAM_ABI::detail
