// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// Threads go on while the process exits: what they use is never destroyed.
template <class T>
union Immortal {
  constexpr Immortal() noexcept : value() {}
  constexpr ~Immortal() {}  // NOLINT(modernize-use-equals-default): of a union with such a member
  T value;
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
