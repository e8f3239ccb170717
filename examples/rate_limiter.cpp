// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Rate limiting by hand: each request takes a tick of a Ticker first. With a burst: ticks are saved
// up in a buffered channel, so a few requests may go at once after a quiet time. And the same by a
// RateLimiter.
#include <hamgam/hamgam.h>

#include <chrono>
#include <iostream>

namespace {

using namespace std::chrono_literals;
using hamgam::Clock;

constexpr auto kInterval = 5ms;
constexpr int kRequests = 5;
constexpr int kBurst = 3;

void plain() {
  const auto start = Clock::now();
  const hamgam::Ticker ticker(kInterval);
  for (int i = 0; i < kRequests; ++i) {
    ticker.chan().recv();
  }
  const bool slow_enough = Clock::now() - start >= kRequests * kInterval;
  std::cout << kRequests << " requests, no faster than allowed: " << std::boolalpha << slow_enough
            << '\n';
}

void with_bursts() {
  const auto allowed = hamgam::make_chan<hamgam::Unit>(kBurst);
  for (int i = 0; i < kBurst; ++i) {
    allowed.send({});
  }
  const auto start = Clock::now();
  auto [ctx, cancel] = hamgam::with_cancel(hamgam::Context::background());
  hamgam::WaitGroup refill;
  refill.go([&allowed, done = ctx.done()] {
    const hamgam::Ticker ticker(kInterval);
    bool on = true;
    while (on) {
      hamgam::select(hamgam::on_recv(ticker.chan(), [&] { (void)allowed.try_send({}); }),
                     hamgam::on_recv(done, [&] { on = false; }));
    }
  });
  for (int i = 0; i < kBurst + 2; ++i) {
    allowed.recv();
  }
  const bool waited = Clock::now() - start >= kInterval;  // the two beyond the burst
  cancel();
  refill.wait();
  std::cout << "a burst of " << kBurst << ", then at the limit: " << waited << '\n';
}

void with_a_limiter() {
  const auto start = Clock::now();
  hamgam::RateLimiter limiter(1s / kInterval, kBurst);
  for (int i = 0; i < kBurst + 2; ++i) {
    limiter.wait();
  }
  std::cout << "the same: " << (Clock::now() - start >= 2 * kInterval) << '\n';
}

}  // namespace

int main() {
  return hamgam::run([] {
    plain();
    with_bursts();
    with_a_limiter();
  });
}
