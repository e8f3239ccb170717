// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Parts of one task: the first that fails ends the rest.
#include <hamgam/hamgam.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string>

namespace {

using namespace std::chrono_literals;
using hamgam::Context;

void fetch(const Context& ctx, int part) {
  if (part == 3) {
    throw std::runtime_error("part 3 is missing");
  }
  if (!hamgam::sleep(part == 9 ? 1h : 1us, ctx.stop_token())) {
    return;  // given up
  }
}

}  // namespace

int main() {
  return hamgam::run([] {
    // [naive]
    hamgam::WaitGroup all;
    hamgam::Guarded<std::exception_ptr> first;
    for (int part = 0; part < 5; ++part) {
      all.go([&first, part] {
        try {
          fetch(Context::background(), part);
        } catch (...) {
          auto kept = first.lock();
          if (*kept == nullptr) {
            *kept = std::current_exception();
          }
        }
      });
    }
    all.wait();  // part 9 would be waited for, though the task has long failed
    // [/naive]
    std::cout << "by hand: " << (*first.lock() != nullptr ? "failed" : "all is here") << '\n';

    // [ours]
    hamgam::ErrGroup group;
    group.set_limit(4);
    for (int part = 0; part < 10; ++part) {
      group.go([ctx = group.context(), part] { fetch(ctx, part); });
    }
    try {
      group.wait();
    } catch (const std::runtime_error& e) {
      std::cout << "ErrGroup: " << e.what() << '\n';
    }
    // [/ours]

    // [flight]
    hamgam::SingleFlight<std::string, int> flights;
    hamgam::Atomic<int> fetched;
    hamgam::WaitGroup askers;
    for (int i = 0; i < 100; ++i) {
      askers.go([&] {
        const auto result = flights.call("price of tea", [&] {
          fetched.add(1);
          hamgam::sleep(5ms);
          return 42;
        });
        (void)result.value;  // result.shared: others got it, too
      });
    }
    askers.wait();
    std::cout << "100 asked, fewer fetched: " << (fetched.load() < 100 ? "yes" : "no") << '\n';
    // [/flight]

    // [slots]
    hamgam::Semaphore slots(2);
    hamgam::Atomic<int> inside;
    hamgam::Guarded<int> most{0};
    for (int i = 0; i < 20; ++i) {
      askers.go([&] {
        const hamgam::SemaphoreGuard slot(slots);
        const int now = inside.add(1);
        most.with([now](int& m) { m = std::max(m, now); });
        hamgam::yield();
        inside.add(-1);
      });
    }
    askers.wait();
    std::cout << "never more than 2 inside: " << (*most.lock() <= 2 ? "yes" : "no") << '\n';
    // [/slots]

    // [rate]
    hamgam::RateLimiter limiter(0.001, 2);  // one in a thousand seconds, two at once
    for (int i = 1; i <= 3; ++i) {
      std::cout << "request " << i << (limiter.allow() ? ": served\n" : ": too many\n");
    }
    // [/rate]
  });
}
