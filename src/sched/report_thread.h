// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// A thread of the library that writes reports of one kind, so that neither who sees the matter nor
// anybody else waits until standard error is read. It is started by the first report. See
// report_queue.h for what is between the two.
//
//   [report.1] who asks:    puts the report where `work` finds it; fence; wakes the thread (store
//   word) [report.2] the thread:  store word (begin_sleep); fence; works

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
  static void main(void* raw);

  const char* const name_;
  const Work work_;
  void* const argument_;
  atomic<bool> started_{false};
  atomic<ThreadRecord*> thread_{nullptr};  // null: it has not begun yet
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
