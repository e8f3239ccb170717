// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// A request that is given up: everybody who works for it must hear of it.
#include <hamgam/hamgam.h>

#include <chrono>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string>
#include <system_error>

namespace {

using namespace std::chrono_literals;
using hamgam::CancelGuard;
using hamgam::Context;

// [key]
constexpr hamgam::ContextKey<std::string> kUser;
// [/key]

// [ours]
std::string query(const Context& ctx, std::chrono::milliseconds takes) {
  if (!hamgam::sleep(takes, ctx.stop_token())) {  // stands for any wait
    throw std::system_error(ctx.err());
  }
  return "the answer";
}

std::string answer_within(std::chrono::milliseconds patience, std::chrono::milliseconds takes) {
  auto [ctx, cancel] = hamgam::with_timeout(Context::background(), patience);
  const CancelGuard guard(cancel);  // whatever happens, nothing of this goes on
  try {
    return query(ctx, takes);
  } catch (const std::system_error& e) {
    return e.code().message();
  }
}
// [/ours]

}  // namespace

int main() {
  return hamgam::run([] {
    // [naive]
    hamgam::Atomic<bool> stop;
    const auto looked = hamgam::make_chan<hamgam::Unit>(1);
    const auto answer = hamgam::make_chan<int>();
    hamgam::WaitGroup worker;
    worker.go([&] {
      while (!stop.load()) {
        looked.send({});
        answer.recv();  // who waits here does not look at the flag
      }
    });
    looked.recv();
    stop.store(true);
    std::cout << "flag: ended within 2 ms: " << (worker.wait_for(2ms) ? "yes" : "no") << '\n';
    // [/naive]
    answer.close();
    worker.wait();

    std::cout << answer_within(1min, 0ms) << '\n' << answer_within(2ms, 1min) << '\n';

    // [tree]
    auto [request, cancel_request] = hamgam::with_cancel(Context::background());
    const Context named = hamgam::with_value(request, kUser, "Sara");
    auto [part, cancel_part] = hamgam::with_timeout(named, 1h);
    const CancelGuard guard(cancel_part);
    std::cout << "the user is " << *part.value(kUser) << '\n';

    cancel_request(std::make_exception_ptr(std::runtime_error("she closed the page")));
    std::cout << "part: " << part.err().message() << '\n';
    try {
      std::rethrow_exception(part.cause());
    } catch (const std::runtime_error& e) {
      std::cout << "because " << e.what() << '\n';
    }
    // [/tree]

    // [timers]
    const hamgam::Ticker ticker(1ms);  // stops at the end of the scope
    for (int beat = 1; beat <= 2; ++beat) {
      ticker.chan().recv();
      std::cout << "beat " << beat << '\n';
    }
    hamgam::Timer alarm = hamgam::after_func(1h, [] { std::cout << "wake up!\n"; });
    std::cout << "the alarm was " << (alarm.stop() ? "stopped" : "too early for us") << '\n';
    // [/timers]
  });
}
