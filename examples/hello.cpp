// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Squares of 1 to 5, each found by a goroutine of its own.
#include <hamgam/hamgam.h>

#include <iostream>
#include <numeric>
#include <vector>

int main() {
  return hamgam::run([] {
    hamgam::Guarded<std::vector<int>> squares;
    hamgam::WaitGroup group;
    for (int i = 1; i <= 5; ++i) {
      group.go([&squares, i] { squares.lock()->push_back(i * i); });
    }
    group.wait();
    auto found = squares.lock();
    std::cout << "Hello from " << found->size() << " goroutines: the squares add up to "
              << std::accumulate(found->begin(), found->end(), 0) << '\n';
  });
}
