// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include <cstddef>

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// Starts a detached thread that runs entry(argument), with every signal blocked that is not a
// fault, so that the program's handlers run on its own threads. False if the system has none to
// give.
[[nodiscard]] bool start_thread(const char* name, void (*entry)(void*), void* argument) noexcept;

void yield_thread() noexcept;  // sched_yield
void nap_thread() noexcept;    // sleeps for some 50 microseconds

// The lowest address and the size of the calling thread's stack.
void find_thread_stack(const void*& bottom, std::size_t& size) noexcept;

// The number of CPUs this process may use: the affinity mask, and of it what the cgroup's quota
// grants, rounded up; at least 1.
int available_cpus() noexcept;

// The number of threads in this process, 0 if it can't be told.
int count_threads() noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
