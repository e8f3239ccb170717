// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// A recursion that does not fit into a goroutine's stack.
#include <hamgam/hamgam.h>

#include <array>
#include <iostream>

namespace {

int depth(int n) {  // NOLINT(misc-no-recursion)
  if (n == 0) {
    return 0;
  }
  std::array<volatile char, 200> frame{};
  frame[0] = 1;
  const int below = depth(n - 1);
  return below + frame[0];  // so the frame is needed until here
}

}  // namespace

int main() {
  return hamgam::run([] {
    hamgam::WaitGroup group;
    group.go({.name = "parser"}, [] { std::cout << depth(1'000'000) << '\n'; });
    group.wait();
  });
}
