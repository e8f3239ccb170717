// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// What the records of a trace mean.

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "observe/trace_file.h"
#include "os/clock.h"
#include "sched/trace.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// What was so when it began and ended, which the records don't tell.
struct TraceFrame {
  std::uint64_t begin_ticks = 0;
  Nanos begin = 0;
  std::uint64_t end_ticks = 0;
  Nanos end = 0;
  std::vector<TraceRunning> running_first;
  std::vector<TraceRunning> running_last;
  std::int64_t goroutines = 0;  // at the beginning
  std::int64_t runnable = 0;
  std::unordered_map<std::uint64_t, std::string> names;  // of those that there were
};

// Throws std::bad_alloc, and can be called again then.
void tell_trace(const TraceFrame& frame, const TraceEnd& records, TraceFile& file);

}  // namespace hamgam::inline HAMGAM_ABI::detail
