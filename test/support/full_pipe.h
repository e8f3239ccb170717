// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

namespace hamgam::test {

// Standard error is a pipe that is full, and that nobody reads; for a child.
inline void fill_standard_error() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
    std::_Exit(1);
  }
  std::string const much(4096, '.');
  while (write(ends[1], much.data(), much.size()) > 0) {
  }
  (void)fcntl(ends[1], F_SETFL, 0);
  dup2(ends[1], STDERR_FILENO);
}

}  // namespace hamgam::test
