// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// What a single word can do without a lock.
#include <hamgam/hamgam.h>

#include <iostream>
#include <memory>
#include <string>

namespace {

struct Config {
  std::string host;
  int port;
};

// [max]
void raise_to(hamgam::Atomic<int>& most, int value) {
  int seen = most.load();
  while (seen < value && !most.compare_and_swap(seen, value)) {
    seen = most.load();  // somebody was faster: look again
  }
}
// [/max]

}  // namespace

int main() {
  return hamgam::run([] {
    hamgam::WaitGroup group;

    hamgam::Atomic<int> naive;
    hamgam::Barrier both_have_read(2);
    for (int i = 0; i < 2; ++i) {
      group.go([&] {
        // [naive]
        const int before = naive.load();
        both_have_read.arrive_and_wait();  // what chance does now and then
        naive.store(before + 1);
        // [/naive]
      });
    }
    group.wait();

    // [ours]
    hamgam::Atomic<int> counter;
    hamgam::Atomic<int> most;
    hamgam::Counter requests;  // a statistic that all add to
    for (int i = 0; i < 100; ++i) {
      group.go([&, i] {
        counter.add(1);
        raise_to(most, i);
        requests.add();
      });
    }
    group.wait();
    // [/ours]
    std::cout << "load, then store: " << naive.load() << " of 2\n"
              << "add: " << counter.load() << " of 100, the greatest was " << most.load() << ", "
              << requests.value() << " requests\n";

    // [value]
    hamgam::AtomicValue<Config> config(Config{"shiraz", 80});
    const std::shared_ptr<const Config> mine = config.load();  // stays as it is while I use it
    config.store(Config{"tabriz", 443});
    std::cout << mine->host << ':' << mine->port << ", from now on " << config.load()->host << ':'
              << config.load()->port << '\n';
    // [/value]
  });
}
