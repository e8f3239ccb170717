// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
// Somebody holds a lock for long, and the others wait: who is it?
#include <hamgam/hamgam.h>

#include <chrono>
#include <iostream>
#include <mutex>

namespace {

using namespace std::chrono_literals;

hamgam::Mutex till;

// What the compiler inlines is in no stack.
[[gnu::noinline]] void pay() { const std::lock_guard guard(till); }

[[gnu::noinline]] void count_coins() {
  const std::lock_guard guard(till);
  hamgam::sleep(20ms);
}

}  // namespace

int main() {
  hamgam::observe::profile_waits();  // or HAMGAM_DEBUG=waits in the environment
  hamgam::WaitGroup group;
  for (int day = 0; day < 3; ++day) {
    group.go(count_coins);
    hamgam::sleep(5ms);
    for (int customer = 0; customer < 5; ++customer) {
      group.go(pay);
    }
    group.wait();
  }
  hamgam::observe::write_profile(hamgam::observe::Profile::mutex, std::cout);
}
