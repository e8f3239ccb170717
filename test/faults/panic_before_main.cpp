// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// A goroutine that panics while static objects are made: before the library's own are, as these are
// linked later. It was taken for the child of a vfork, which is to die without a word.
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <stdexcept>

#include "hamgam/hamgam.h"

namespace {

struct Early {
  Early() {
    std::signal(SIGABRT, [](int) { std::_Exit(1); });  // ctest has its own idea of one that aborts
    (void)hamgam::run([] {
      hamgam::go([] { throw std::runtime_error("before main"); });
      hamgam::sleep(std::chrono::hours(1));
    });
  }
} const early;

}  // namespace

int main() { return 0; }
