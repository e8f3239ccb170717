// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Where is waited, and who makes others wait: two tables of stacks, each with how often and how
// long. Off, a wait takes a load more, and nothing is noted.
//
// Who is asked is who waited, when the wait is over (block), and who unlocks a lock that others
// wait for (mutex): he is charged with what all of them have waited since the last such unlock
// (Bucket::take_delay), so with what he himself is to blame for.
//
// What is noted is a sample. With a period of R ns, a delay d counts as it is if it is at least R;
// a shorter one is taken with the probability d / R and stands for R / d such delays: the sums are
// right on average, and the long ones are never missed. R is at least kShortestPeriod; it doubles
// whenever kMost were taken in less than kWindow, and halves with each kWindow that passes without.
// So there are no more than some kMost in a kWindow, 500 in a second for each table, whatever the
// load, and those of a sudden one grow with its logarithm only.
//
// Rejected: one in n (Go's mutex profile): the one long wait among a million short ones is missed.
// Rejected: to charge with the wait of the one who is woken alone: those behind him are not seen
// (golang/go#61015), nor whose fault it was that he waited (golang/go#73760).
//
// Thread safety: each table has a lock of its own, for some hundred instructions per sample.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "hamgam/detail/atomic.h"
#include "os/clock.h"

namespace hamgam::inline HAMGAM_ABI::detail {

enum class WaitProfile : std::uint8_t { kBlock, kMutex };

struct WaitSample {
  static constexpr std::size_t kFrames = 48;

  const char* reason;               // as for park(); null in kMutex
  std::vector<const void*> frames;  // return addresses, innermost first
  bool cut;                         // there are more frames
  double count;
  double delay;  // in nanoseconds
};

extern constinit atomic<std::uint32_t> waits_profiled;

HAMGAM_INLINE bool profiling_waits() noexcept {
  return HAMGAM_UNLIKELY(waits_profiled.load(kRelaxed) != 0);  // relaxed: sooner or later
}

// Throws std::bad_alloc. What was noted stays.
void profile_waits(bool on);

// What was noted so far. Throws std::bad_alloc.
std::vector<WaitSample> wait_samples(WaitProfile profile);

// Calls f, in which the caller waits.
class ProfiledWait {
 public:
  template <class F>
  HAMGAM_INLINE static void in(const char* reason, F f) noexcept {
    if (HAMGAM_LIKELY(!profiling_waits())) {
      f();
      return;
    }
    ProfiledWait const wait{reason, now()};
    f();
    wait.end();
  }

 private:
  HAMGAM_NOINLINE void end() const noexcept;

  const char* reason_;
  Nanos start_;

  ProfiledWait(const char* reason, Nanos start) noexcept : reason_(reason), start_(start) {}
};

// The caller, who has unlocked by now, has made others wait so long. Not under a bucket's lock.
HAMGAM_NOINLINE void note_delay(Nanos delay) noexcept;

// Of those who wait for one address: how many there are, and what they have waited since it was
// last taken. Thread safety: the bucket's lock.
struct Contention {
  std::int64_t waiting = 0;
  Nanos last = 0;   // when that changed
  double owed = 0;  // up to then, in nanoseconds: more than Nanos hold, if many wait for days

  void change(std::int64_t by, Nanos time) noexcept {
    owed += static_cast<double>(waiting) * static_cast<double>(time - last);
    last = time;
    waiting += by;
  }

  Nanos take() noexcept { return static_cast<Nanos>(std::min(std::exchange(owed, 0), kMostOwed)); }

  static constexpr double kMostOwed = 1e18;  // thirty years; several can be added
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
