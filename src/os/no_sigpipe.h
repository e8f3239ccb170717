// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include <pthread.h>

#include <cerrno>
#include <csignal>
#include <ctime>

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// For calls that have no flag against SIGPIPE. It is sent to the thread that calls, so it is kept
// from that one and taken back.
class NoSigPipe {
 public:
  NoSigPipe() noexcept {
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    sigemptyset(&set_);
    sigaddset(&set_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set_, &before_);
  }
  ~NoSigPipe() {
    int const error = errno;
    if (!was_pending_) {  // also beside a success: of some bytes
      timespec const at_once{0, 0};
      while (sigtimedwait(&set_, nullptr, &at_once) < 0 && errno == EINTR) {
      }
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    errno = error;
  }
  NoSigPipe(const NoSigPipe&) = delete;
  NoSigPipe& operator=(const NoSigPipe&) = delete;

 private:
  sigset_t set_{};
  sigset_t before_{};
  bool was_pending_ = false;
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
