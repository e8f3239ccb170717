// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Things that are made once, by whoever comes first: a configuration, a singleton, and a connection
// whose first attempts fail.
#include <hamgam/hamgam.h>

#include <atomic>
#include <iostream>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>

namespace {

std::atomic<int> reads = 0;
std::atomic<int> attempts = 0;

std::map<std::string, int> read_config() {
  ++reads;
  hamgam::sleep(std::chrono::milliseconds(1));  // as from a file
  return {{"port", 8080}, {"threads", 2}};
}

// [config]
const auto config = hamgam::once_value(read_config);
// [/config]

// [singleton]
class Registry {
 public:
  static Registry& instance() {
    static hamgam::Once once;
    static std::unique_ptr<Registry> registry;
    once.call([] { registry.reset(new Registry); });
    return *registry;
  }

  int visit() { return ++visits_; }

 private:
  Registry() = default;
  std::atomic<int> visits_ = 0;
};
// [/singleton]

// A call that throws was none: the next caller tries again.
void connect() {
  if (++attempts < 3) throw std::runtime_error("refused");
}

}  // namespace

int main() {
  return hamgam::run([] {
    hamgam::Once connected;
    std::atomic<int> failures = 0;
    std::atomic<int> ports = 0;

    hamgam::WaitGroup group;
    for (int i = 0; i < 100; ++i) {
      group.go([&] {
        ports += config().at("port") == 8080 ? 1 : 0;
        Registry::instance().visit();
        try {
          connected.call(connect);
        } catch (const std::runtime_error&) {
          ++failures;
        }
      });
    }
    group.wait();

    std::cout << "config read " << reads << " time, right for " << ports << '\n'
              << "registry visited " << Registry::instance().visit() - 1 << " times\n"
              << "connected after " << attempts << " attempts, " << failures
              << " callers were told\n";
  });
}
