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

// For the pages, which wait for nobody: also if somebody else is at a trace just now, these throw
// std::system_error, device_or_resource_busy.

// As observe::start_trace, but it leaves alone what the program could not write yet. Returns the
// trace's number.
std::uint64_t begin_trace_for(const std::string& path, std::size_t memory);

// As observe::stop_trace, if it is that trace which is on, or was not written when it was stopped.
// When it returns the trace is written: by this call, or by who stopped it.
void end_trace_for(std::uint64_t number);

// What the program's own trace has until now, the newest that goes into so much memory, into an
// open file; it goes on. `packets`: in Perfetto's form. False: there is none.
bool copy_trace_for(int file, bool packets, std::size_t memory);

// It is not written, if it was not yet. If somebody else is at it, it is dropped a little later.
void give_up_trace_for(std::uint64_t number) noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
