// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// For tests: false: pools made from now on do without shards, as if the kernel had no heavy
// barrier.
void allow_pool_shards(bool allowed) noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
