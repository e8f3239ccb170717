// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
// A receiver that was forgotten: nobody closes its channel.
#include <hamgam/hamgam.h>

#include <chrono>
#include <iostream>

namespace {

// What the compiler inlines is in no stack.
[[gnu::noinline]] void bake(const hamgam::Chan<int>& orders) {
  for (const int order : orders) {
    std::cout << order << " loaves\n";
  }
  std::cout << "closing time\n";
}

}  // namespace

int main() {
  return hamgam::run([] {
    const auto orders = hamgam::make_chan<int>();
    for (const char* name : {"Ali", "Sara"}) {
      hamgam::go({.name = name}, [orders] { bake(orders); });
    }
    orders.send(2);
    orders.send(3);
    hamgam::sleep(std::chrono::milliseconds(10));
    hamgam::observe::dump(std::cout);
  });
}
