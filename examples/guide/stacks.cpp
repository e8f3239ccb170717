// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Stacks of goroutines: how much fits, and where big things go.
#include <hamgam/hamgam.h>

#include <array>
#include <iostream>
#include <memory>
#include <numeric>
#include <vector>

namespace {

// A recursion in which each call needs 200 bytes and more.
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
    // [shallow]
    hamgam::WaitGroup group;
    group.go([] { std::cout << "100 calls deep: " << depth(100) << '\n'; });
    group.wait();
    // [/shallow]

    // [ours]
    group.go(
        {.name = "parser", .stack_size = 32 << 20},  // 32 MiB; what is not touched costs nothing
        [] { std::cout << "20000 calls deep: " << depth(20'000) << '\n'; });
    group.wait();
    // [/ours]

    // [heap]
    group.go([] {
      std::vector<int> table(
          1 << 20);  // 4 MiB, on the heap; std::array<int, 1 << 20> would not fit
      std::iota(table.begin(), table.end(), 0);
      std::cout << "the last of a big table: " << table.back() << '\n';
    });
    group.wait();
    // [/heap]
  });
}
