// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// A wait while a std::mutex is held: another thread may have to unlock it.
#include <hamgam/hamgam.h>

#include <iostream>
#include <mutex>

namespace {

std::mutex balance_lock;  // hamgam::Mutex would do
int balance = 0;

// What the compiler inlines is in no stack.
[[gnu::noinline]] void pay(hamgam::Chan<int>& amounts) {
  std::lock_guard<std::mutex> const guard(balance_lock);
  balance += *amounts.recv();  // waits, perhaps: take the amount first
}

}  // namespace

int main() {
  hamgam::observe::watch_mutexes();  // or HAMGAM_DEBUG=mutexes in the environment
  hamgam::max_procs(1);
  return hamgam::run([] {
    auto amounts = hamgam::make_chan<int>();
    hamgam::WaitGroup group;
    group.go({.name = "cashier"}, [&amounts] { pay(amounts); });
    hamgam::yield();  // so that it waits
    amounts.send(7);
    group.wait();
    while (hamgam::observe::mutex_reports() == 0) {
      hamgam::yield();
    }
    std::cout << "balance " << balance << "\n";
  });
}
