// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include <cstddef>
#include <cstdint>

#include "hamgam/detail/chan_ops.h"

namespace hamgam::inline HAMGAM_ABI::detail {

inline constexpr std::size_t kSelectGaveUp = SIZE_MAX;

// Does one of them and says which; its waiter.done is false if the channel is closed.
// kSelectGaveUp: the deadline has passed. A deadline of 0: does not wait at all; none was ready
// then, at one moment.
HAMGAM_API std::size_t select_ops(SelectOp* ops, std::size_t count, std::int64_t deadline);

}  // namespace hamgam::inline HAMGAM_ABI::detail
