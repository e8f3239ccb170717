// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// What we do with std::stop_token and its kin. They are code of headers, whose words are shared
// with the user's code; so where users' races are looked for, stop.cpp is instrumented as that is,
// alone of all our files.

#include <stop_token>

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

[[nodiscard]] bool stop_requested(const std::stop_token& token) noexcept;

// By value: the words of the source itself are ours. The callbacks may wait: the goroutine keeps
// its thread meanwhile.
void request_stop(std::stop_source source) noexcept;
void drop_stop(std::stop_source source) noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
