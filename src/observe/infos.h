// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include <vector>

#include "hamgam/observe.h"
#include "sched/snapshot.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// A snapshot as programs see it, by the goroutines' ids.
std::vector<observe::GoroutineInfo> infos_of(const Snapshot& snapshot);

}  // namespace hamgam::inline HAMGAM_ABI::detail
