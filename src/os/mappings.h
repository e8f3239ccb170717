// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// A part of a file that is mapped as code.
struct Mapping {
  std::uintptr_t start;
  std::uintptr_t end;
  std::uint64_t offset;  // in the file
  std::string file;
};

// By their addresses; those that are there at the moment. None if it can't be told. Throws
// std::bad_alloc.
std::vector<Mapping> code_mappings();

}  // namespace hamgam::inline HAMGAM_ABI::detail
