// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Two goroutines take two locks, both at once.
#include <hamgam/hamgam.h>

#include <iostream>
#include <mutex>

namespace {

hamgam::Mutex plates;
hamgam::Mutex spoons;
int meals = 0;  // under both

// [ours]
void lay_table() {
  const std::scoped_lock both(plates, spoons);  // in whatever order is free
  ++meals;
}

void wash_up() {
  const std::scoped_lock both(spoons, plates);
  ++meals;
}
// [/ours]

}  // namespace

int main() {
  return hamgam::run([] {
    hamgam::WaitGroup group;
    for (int i = 0; i < 100; ++i) {
      group.go(lay_table);
      group.go(wash_up);
    }
    group.wait();
    std::cout << meals << " times\n";
  });
}
