// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// A bakery to look at in a browser: pages with something on each. Prints their address, and goes on
// until its input ends.

#include <hamgam/hamgam.h>

#include <chrono>
#include <cstdio>
#include <iostream>
#include <mutex>
#include <string>

namespace {

using namespace std::chrono_literals;

hamgam::Mutex oven;
hamgam::Mutex till;

void bake() {
  {
    hamgam::observe::Region const region("knead");
    hamgam::sleep(2ms);
  }
  std::lock_guard const mine(oven);
  hamgam::observe::Region const region("bake");
  hamgam::sleep(5ms);
}

[[gnu::noinline]] void bake_all_day(const hamgam::Context& day) {
  while (!day.err()) {
    bake();
  }
}

[[gnu::noinline]] void wait_for_orders(const hamgam::Chan<int>& orders) {
  for (int const order : orders) {
    std::cout << order << "\n";
  }
}

[[gnu::noinline]] void count_coins(const hamgam::Context& day) {
  std::lock_guard const mine(till);
  (void)day.done().recv();
}

[[gnu::noinline]] void pay() { std::lock_guard const mine(till); }

}  // namespace

int main() {
  hamgam::observe::watch_locks();
  hamgam::observe::profile_waits();
  auto const pages = hamgam::observe::serve(":0");
  return hamgam::run([&] {
    auto [day, evening] = hamgam::with_cancel(hamgam::Context::background());
    hamgam::WaitGroup all;
    auto const orders = hamgam::make_chan<int>();
    for (const char* name : {"Ali", "Sara", "Mina"}) {
      all.go({.name = name}, [&day = day] { bake_all_day(day); });
    }
    for (int i = 0; i < 20; ++i) {
      all.go({.name = "waiter"}, [&] { wait_for_orders(orders); });
    }
    all.go({.name = "cashier"}, [&day = day] { count_coins(day); });
    hamgam::sleep(20ms);
    for (int i = 0; i < 3; ++i) {
      all.go({.name = "customer <" + std::to_string(i) + ">"}, pay);
    }
    std::cout << pages.address() << std::endl;
    hamgam::blocking([] {
      while (std::cin.get() != EOF) {
      }
    });
    evening();
    orders.close();
    all.wait();
  });
}
