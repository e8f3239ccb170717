// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Compiles, unless one of the mistakes is planted (-D...): then the compiler says what is wrong.

#include <system_error>

#include "hamgam/hamgam.h"

void group_functions() {
  hamgam::ErrGroup group;
  group.go([] {});
  group.go([] { return std::error_code(); });
#if defined(GROUP_RETURNS_BOOL)
  group.go([] { return true; });
#endif
}
