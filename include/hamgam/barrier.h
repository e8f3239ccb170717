// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Barrier: a number of goroutines and plain threads that wait for one another, phase after phase.
//
//   Barrier barrier(workers, [&] { swap(now, next); });
//   ... in each worker:
//   while (more) {
//     compute(now, next, part);
//     barrier.arrive_and_wait();  // until all have come; then the last one has swapped
//   }
//
// As std::barrier, but a goroutine parks, and a wait can be given up: then the arrival is taken
// back, as if it had never been. The last one to arrive runs on_completion before anybody goes on;
// an exception that escapes it, or goexit() in it, ends the process. From goroutines and plain
// threads alike, in any mixture. Who was released does not touch the object any more, nor does one
// who dropped out unless it was the last to come: it may be destroyed as soon as all
// arrive_and_wait have been released and all timed and stoppable ones have returned.
//
// Happens-before: each arrival is before the start of on_completion, and that is before the return
// of each wait of the phase. A request to stop is before the return of the wait that it ends.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <stop_token>
#include <utility>

#include "hamgam/detail/config.h"
#include "hamgam/detail/deadline.h"

namespace hamgam::inline HAMGAM_ABI {

namespace detail {
class Bucket;
struct Waiter;
}  // namespace detail

class Barrier {
 public:
  // n arrivals end a phase. Panic "barrier: negative count".
  HAMGAM_API explicit Barrier(std::ptrdiff_t n, std::function<void()> on_completion = {});
  Barrier(const Barrier&) = delete;
  Barrier& operator=(const Barrier&) = delete;

  // Arrives and blocks until the phase is over. More arrivals than are expected in a phase: Panic
  // "barrier: more arrivals than expected", here and below.
  HAMGAM_API void arrive_and_wait();

  // False if the phase had not ended in time, or before stop was requested; the arrival is taken
  // back then. Once the last one has come nobody gives up any more. std::bad_alloc if there is no
  // memory for a timer; nobody has arrived then.
  template <class Rep, class Period>
  [[nodiscard]] bool arrive_and_wait_for(const std::chrono::duration<Rep, Period>& d) {
    return arrive_deadline(detail::deadline_after(d));
  }
  template <class C, class D>
  [[nodiscard]] bool arrive_and_wait_until(const std::chrono::time_point<C, D>& t) {
    return detail::attempt_until(
        t, [this](std::int64_t deadline) { return arrive_deadline(deadline); });
  }
  [[nodiscard]] HAMGAM_API bool arrive_and_wait(std::stop_token token);

  // Arrives, does not wait, and counts no more from the next phase on.
  HAMGAM_API void arrive_and_drop();

 private:
  HAMGAM_API bool arrive_deadline(std::int64_t deadline);
  bool arrive(detail::Waiter& me);
  bool count(detail::Bucket& bucket);
  void end_phase(detail::Bucket& bucket);
  [[nodiscard]] const void* edge(std::uint64_t phase) const noexcept;

  // Under the lock of the bucket of `this`, but for on_completion_, which is the last one's.
  std::ptrdiff_t expected_;  // in each phase from the next one on
  std::ptrdiff_t missing_;   // in this phase; 0: the last one has come and completes it
  std::uint64_t phase_ = 0;
  std::function<void()> const on_completion_;
};

}  // namespace hamgam::inline HAMGAM_ABI
