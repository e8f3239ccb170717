// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// fork() copies the calling thread only: in the child nobody runs goroutines, keeps time or unlocks
// what other threads had locked. The child may exec or _exit, and use what it need not wait for;
// all else says so at once instead of waiting for ever.

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// From now on such children are no longer whole. `in_child` is called in each, before fork returns
// there. Once per process.
void forks_lose_threads(void (*in_child)() noexcept) noexcept;

// Is this process such a child?
bool is_forked_child() noexcept;

// Is this process the child of one that had other threads (or may have had)? It may be whole, and
// have threads of its own; but what another thread of its parent had locked at that moment nobody
// will unlock.
bool was_forked() noexcept;

// Is this a child of vfork that has not executed anything yet? It has its parent's memory, and is
// to leave nothing there.
bool has_parents_memory() noexcept;

// Says so and aborts.
[[noreturn]] void refuse_in_child() noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
