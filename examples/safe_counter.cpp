// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// A map that many goroutines share: once with its mutex kept by hand, once with Guarded, which
// lets nobody reach the map without the lock.
#include <hamgam/hamgam.h>

#include <iostream>
#include <map>
#include <mutex>
#include <string>

namespace {

class SafeCounter {
 public:
  void increment(const std::string& key) {
    const std::lock_guard lock(mutex_);
    ++values_[key];
  }

  [[nodiscard]] int value(const std::string& key) const {
    const std::lock_guard lock(mutex_);
    const auto found = values_.find(key);
    return found == values_.end() ? 0 : found->second;
  }

 private:
  mutable hamgam::Mutex mutex_;
  std::map<std::string, int> values_;  // under mutex_
};

}  // namespace

int main() {
  return hamgam::run([] {
    SafeCounter by_hand;
    hamgam::Guarded<std::map<std::string, int>> guarded;

    hamgam::WaitGroup group;
    for (int i = 0; i < 1000; ++i) {
      group.go([&] {
        by_hand.increment("key");
        ++(*guarded.lock())["key"];
      });
    }
    group.wait();

    std::cout << "By hand: " << by_hand.value("key") << '\n'
              << "Guarded: " << guarded.lock()->at("key") << '\n';
  });
}
