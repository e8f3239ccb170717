// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include <cstddef>

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

std::size_t page_size() noexcept;

// Address space that costs nothing until it is touched; without huge pages, as one touched byte
// would cost 2 MB. Null if the system refuses.
void* reserve_memory(std::size_t size) noexcept;
void release_memory(void* start, std::size_t size) noexcept;

// Gives the pages' contents back; they read as zero afterwards. Guards inside stay.
void discard_memory(void* start, std::size_t size) noexcept;

// From the lowest page of the range that has memory up to its end; 0: none has, or it is not known.
// The ends are at pages' ends.
std::size_t touched_bytes(const char* start, const char* end) noexcept;

// True if the process may have only so much address space (RLIMIT_AS): then none is to be wasted.
bool address_space_is_limited() noexcept;

// Makes the pages of a range fault on access. By guard marks in the page table where the kernel has
// them (Linux 6.13), else by mprotect, which costs a mapping each: at most a share of
// vm.max_map_count is used up that way, then false, and the stack above goes unguarded.
bool install_guard(void* start, std::size_t size) noexcept;

// Clears what a sanitizer remembers of the range, so that it counts as fresh memory.
void forget_memory(void* start, std::size_t size) noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
