// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Five goroutines increment one counter under a Mutex.
#include <hamgam/hamgam.h>

#include <iostream>
#include <mutex>

int main() {
  return hamgam::run([] {
    hamgam::Mutex mutex;
    int counter = 0;
    hamgam::WaitGroup group;
    for (int i = 0; i < 5; ++i) {
      group.go([&] {
        const std::lock_guard lock(mutex);
        ++counter;
      });
    }
    group.wait();
    std::cout << "Final counter value: " << counter << '\n';
  });
}
