// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Panic: misuse that Go answers with a panic, carrying Go's exact text, such as
// "send on closed channel". Uncaught in a goroutine it ends the process, as in Go.

#include <stdexcept>

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI {

class HAMGAM_API Panic : public std::logic_error {
 public:
  // With its text.
  using std::logic_error::logic_error;
};

}  // namespace hamgam::inline HAMGAM_ABI
