// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include <cstddef>

#include "hamgam/detail/config.h"
#include "os/clock.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// Which signals a thread takes.
enum class Signals {
  kPrograms,  // it runs code of the program: as the thread that started the first of these, and
              // SIGURG, by which it is asked for its stack (ask.h)
  kFaults,    // it runs none: faults only, and SIGPROF, which profilers send to every thread
};

// Starts a detached thread that runs entry(argument). False if the system has none to give.
[[nodiscard]] bool start_thread(const char* name, void (*entry)(void*), void* argument,
                                Signals signals = Signals::kPrograms) noexcept;

// To be called by a thread that several goroutines run on. They use its thread_locals by turns,
// which to ThreadSanitizer is the same memory with nothing in between: it is told not to look
// there.
void share_thread_locals() noexcept;

void yield_thread() noexcept;  // sched_yield
void nap_thread() noexcept;    // sleeps for some 50 microseconds

// The lowest address and the size of the calling thread's stack; null and 0 if the system does not
// tell: that of the first thread stands in a file, for which no descriptor may be left.
void find_thread_stack(const void*& bottom, std::size_t& size) noexcept;

// The number of CPUs this process may use: the affinity mask, and of it what the cgroup's quota
// grants, rounded up; at least 1.
int available_cpus() noexcept;

// The calling thread's number, and what one does at the moment.
enum class Doing {
  kRuns,     // or wants to
  kWaits,    // in the kernel
  kGone,     // there is no such thread in this process
  kUnknown,  // /proc can't be read: it is not there, or no descriptor is left
};
int thread_id() noexcept;
Doing thread_doing(int id) noexcept;

// How long a thread of this process has had a CPU; 0 if it can't be told.
Nanos thread_cpu_time(int id) noexcept;

// The number of threads in this process, 0 if it can't be told.
int count_threads() noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
