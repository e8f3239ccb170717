// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// A dictionary that is dear to load, and many who want it at once.
#include <hamgam/hamgam.h>

#include <iostream>
#include <map>
#include <stdexcept>
#include <string>

namespace {

using Dictionary = std::map<std::string, std::string>;
hamgam::Atomic<int> loads;

Dictionary load() {
  loads.add(1);
  return {{"hamgam", "in step"}, {"salaam", "peace"}};
}

// [ours]
const auto dictionary = hamgam::once_value(load);
// [/ours]

}  // namespace

int main() {
  return hamgam::run([] {
    hamgam::WaitGroup group;

    hamgam::Atomic<bool> loaded;
    hamgam::Barrier both_have_looked(2);  // what chance does now and then
    for (int i = 0; i < 2; ++i) {
      group.go([&] {
        // [naive]
        if (!loaded.load()) {
          both_have_looked.arrive_and_wait();
          (void)load();
          loaded.store(true);
        }
        // [/naive]
      });
    }
    group.wait();
    std::cout << "look, then load: loaded " << loads.swap(0) << " times\n";

    // [use]
    for (int i = 0; i < 100; ++i) {
      group.go([] { (void)dictionary().at("hamgam"); });
    }
    group.wait();
    std::cout << "once_value: loaded " << loads.load() << " time, hamgam is \""
              << dictionary().at("hamgam") << "\"\n";
    // [/use]

    // [retry]
    hamgam::Once connected;
    for (int attempt = 1; !connected.done(); ++attempt) {
      try {
        connected.call([&] {
          if (attempt < 3) {
            throw std::runtime_error("refused");
          }
          std::cout << "connected at attempt " << attempt << '\n';
        });
      } catch (const std::runtime_error& e) {
        std::cout << "attempt " << attempt << ": " << e.what() << '\n';
      }
    }
    // [/retry]
  });
}
