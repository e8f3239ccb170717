// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// A goroutine greets the one that started it.
#include <hamgam/hamgam.h>

#include <iostream>

int main() {
  return hamgam::run([] {
    const auto greetings = hamgam::make_chan<const char*>();
    hamgam::go([greetings] { greetings.send("salaam"); });
    std::cout << *greetings.recv() << '\n';
  });
}
