// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// The exit of the process: goroutines are stopped before static objects are destroyed. See
// exit.cpp.

#include "hamgam/detail/atomic.h"
#include "os/clock.h"

namespace hamgam::inline HAMGAM_ABI::detail {

extern constinit atomic<bool> g_exiting;

// Once true, no goroutine, no timer's function and none of the library's threads goes on.
HAMGAM_INLINE bool exiting() noexcept {
  return g_exiting.load(kRelaxed);  // relaxed: whoever must be sure has a lock or [exit.2]
}

// When the runtime starts, and at the first run: static objects at namespace scope, which come
// between, may have started it by their constructors.
void watch_exit() noexcept;

// What is to be done even if goroutines do not stop, and the process ends without destructors.
// Once, by the thread that exits; goroutines may go on meanwhile.
using LastWork = void (*)() noexcept;
void set_last_work(LastWork work) noexcept;

// Among the destructors of a thread's thread_locals.
void note_thread_end() noexcept;

// The calling thread, one of the library's, sleeps for good.
[[noreturn]] void stop_for_good() noexcept;
// The running goroutine keeps its thread, and comes to a scheduling point. Returns only if it tells
// why the process dies.
void stop_goroutine() noexcept;

// Around what a thread of the library's own does with the program's objects: exit() waits for the
// end of that. enter_background() returns no more once the process exits.
void enter_background() noexcept;
void leave_background() noexcept;
// The thread of that number did such things, and will do no more. Once exiting().
bool background_is_over(int id) noexcept;

// How long a sleep that nothing but a waker ends may take: less than for ever on the thread that
// exits the process, as the waker may be a goroutine that was stopped.
Nanos patience() noexcept;
// It has taken so long. Ends the process if it has that thread's patience.
void lose_patience() noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
