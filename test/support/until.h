// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// To wait for what tells nobody that it has happened, instead of for some time.

#include <chrono>

#include "hamgam/go.h"
#include "hamgam/time.h"

namespace hamgam::test {

// Until the condition is true.
template <class C>
void until(C condition) {
  while (!condition()) {
    yield();
  }
}

// The same, for a minute at most; false if it is not true by then. Asleep between the looks: for
// what comes when nobody is at work, or takes its time.
template <class C>
[[nodiscard]] bool comes_true(C condition) {
  auto const limit = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > limit) {
      return false;
    }
    sleep(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace hamgam::test
