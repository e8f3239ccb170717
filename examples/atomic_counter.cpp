// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Fifty goroutines add to an Atomic: no lock, and nothing is lost.
#include <hamgam/hamgam.h>

#include <cstdint>
#include <iostream>

int main() {
  return hamgam::run([] {
    hamgam::Atomic<std::int64_t> counter;
    hamgam::WaitGroup group;
    for (int i = 0; i < 50; ++i) {
      group.go([&] {
        for (int n = 0; n < 1000; ++n) {
          counter.add(1);
        }
      });
    }
    group.wait();
    std::cout << "Atomic counter value: " << counter.load() << '\n';
  });
}
