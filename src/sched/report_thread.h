// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// A thread of the library that writes reports of one kind, so that neither who sees the matter nor
// anybody else waits until standard error is read. It is started by the first report. See
// report_queue.h for what is between the two.
//
// clang-format off
// state_     from -> to           by
//   kWorks   any -> kWorks        the thread, before it looks for reports
//   kSleeps  kWorks -> kSleeps    the thread (CAS), its sleep begun: there were none, nor was it asked
//   kAsked   any -> kAsked        who has put a report: wakes the thread if it was kSleeps
// clang-format on
// So no report is left behind: the thread looks again after it was asked. And each wake meets that
// sleep, not another one: what it does for a report may wait, too, as the program's operator new
// may for a Mutex. From the moment it is asked the thread counts as awake: a deadlock that is
// reported in its turn, and ends the process, comes later.

#include <cstdint>

#include "hamgam/detail/atomic.h"

namespace hamgam::inline HAMGAM_ABI::detail {

struct ThreadRecord;

class ReportThread {
 public:
  // Tells of one that waits to be told of; false: there was none.
  using Work = bool (*)(void* argument) noexcept;

  constexpr ReportThread(const char* name, Work work, void* argument) noexcept
      : name_(name), work_(work), argument_(argument) {}

  // There is something. False: the system refuses the thread; later, perhaps. Never blocks for
  // long.
  bool ask() noexcept;

  // It was started.
  [[nodiscard]] bool is_there() const noexcept {
    return started_.load(kRelaxed);  // relaxed: a hint
  }

  // In the child of a fork, where it is not.
  void forget() noexcept;

 private:
  enum State : std::uint32_t { kWorks, kSleeps, kAsked };

  static void main(void* raw);

  const char* const name_;
  const Work work_;
  void* const argument_;
  atomic<bool> started_{false};
  atomic<std::uint32_t> state_{kWorks};
  atomic<ThreadRecord*> thread_{nullptr};  // since before the first kSleeps
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
