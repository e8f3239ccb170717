// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Who tells why the process dies (crash.cpp does), and who waits for that.
//
// One thread tells, and ends the process. It may take a while, and others may come to their end
// meanwhile, of the same cause perhaps; or the program exits. They would cut it short, so they
// wait; until it has not got on for some seconds, as it may need what they hold. If the thread
// itself faults on the way, or comes to another end, that is the end at once.
//
// The program's own code runs in it, too: what() of the exception, a terminate handler, one of
// SIGABRT. If that waits it does so on its thread, whose goroutine is pinned, and an exit does not
// stop it there.

#include <string_view>

#include "hamgam/detail/atomic.h"
#include "os/clock.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// True if the calling thread is to tell; from now on it is the one that tells(). False: it does
// already, or another one has told for too long, or it is not this process that dies.
bool may_tell() noexcept;
bool tells() noexcept;
bool tells(int thread) noexcept;

// The calling thread helps the one that tells, which waits for it.
class Helps {
 public:
  Helps() noexcept;
  ~Helps();
  Helps(const Helps&) = delete;
  Helps& operator=(const Helps&) = delete;
};

// To standard error. False: nobody has taken any of it for kDumpPatience.
[[nodiscard]] bool tell_of_death(std::string_view text) noexcept;
inline constexpr Nanos kDumpPatience = 5'000 * kMillisecond;

// It gets on. Of no effect on a thread that neither tells nor helps.
void note_telling() noexcept;

// If another thread tells: until it has not got on for 10 seconds; false, the first time. As it
// ends the process then, true means that nobody does.
bool await_death() noexcept;

// Until it is over, or has not got on for so long.
void await_telling(Nanos patience, const atomic<bool>& over) noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
