// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Ctrl-C as the cancellation of a Context.
#pragma once

#include <hamgam/context.h>
#include <hamgam/waitgroup.h>

#include <csignal>

namespace wordfreq {

// While it lives, the first Ctrl-C calls `cancel` and the second one kills, which the signal's
// default action does. Its end cancels, too (as Go's signal.NotifyContext). One at a time.
class CancelOnInterrupt {
 public:
  explicit CancelOnInterrupt(hamgam::CancelFunc cancel);
  ~CancelOnInterrupt();
  CancelOnInterrupt(const CancelOnInterrupt&) = delete;
  CancelOnInterrupt& operator=(const CancelOnInterrupt&) = delete;

 private:
  hamgam::WaitGroup watcher_;
  struct sigaction former_ {};
};

}  // namespace wordfreq
