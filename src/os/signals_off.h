// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include <csignal>

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// While it lives, no handler of a signal runs on this thread but those of its own faults. At its
// end the mask is as before, also if it was left by a jump out of such a handler.
class SignalsOff {
 public:
  SignalsOff() noexcept {
    sigset_t all;
    sigfillset(&all);
    for (int const fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT}) {
      sigdelset(&all, fault);
    }
    pthread_sigmask(SIG_BLOCK, &all, &before_);
  }
  ~SignalsOff() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsOff(const SignalsOff&) = delete;
  SignalsOff& operator=(const SignalsOff&) = delete;

 private:
  sigset_t before_;
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
