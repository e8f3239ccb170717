// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// A trace that is stopped only by who began it, or by the program, which then may have begun
// another.

#include <cstddef>
#include <cstdint>
#include <string>

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// As observe::start_trace. Returns the trace's number.
std::uint64_t begin_trace_for(const std::string& path, std::size_t memory);

// As observe::stop_trace, if it is that trace which is on. In any case it is written now: by this
// call, or by who stopped it.
void end_trace_for(std::uint64_t number);

// It is not written, if it is still on.
void give_up_trace_for(std::uint64_t number) noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
