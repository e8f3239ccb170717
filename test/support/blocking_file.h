// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// What is to work although somebody else who has the same open file, a child say, has cleared
// O_NONBLOCK.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "support/until.h"

namespace hamgam::test {

inline void clear_nonblocking(int fd) {
  int const copy = dup(fd);
  EXPECT_EQ(fcntl(copy, F_SETFL, fcntl(copy, F_GETFL) & ~O_NONBLOCK), 0);
  ::close(copy);
}

// Runs f; if that is not over after a minute, rescue() is to end it.
template <class F, class R>
void rescued(F f, R rescue) {
  std::atomic<bool> over{false};
  std::thread rescuer([&] {
    if (!comes_true([&] { return over.load(); })) {
      ADD_FAILURE() << "it blocks";
      rescue();
    }
  });
  f();
  over = true;
  rescuer.join();
}

}  // namespace hamgam::test
