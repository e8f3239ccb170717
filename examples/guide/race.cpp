// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// A data race: two goroutines change a variable, and nothing orders them.
#include <hamgam/hamgam.h>

#include <iostream>

namespace {

int visits = 0;

void count_visits() {
  for (int i = 0; i < 1000; ++i) {
    ++visits;
  }
}

}  // namespace

int main() {
  return hamgam::run([] {
    hamgam::WaitGroup group;
    group.go({.name = "left door"}, count_visits);
    group.go({.name = "right door"}, count_visits);
    group.wait();
    std::cout << visits << " visits\n";
  });
}
