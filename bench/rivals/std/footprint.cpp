// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Plain threads as whole processes.
#include <atomic>
#include <chrono>
#include <latch>
#include <thread>

#include "../../harness/delays.h"
#include "../../harness/process.h"
#include "../threads.h"

namespace {

constexpr int kSeconds = 2;

const bench::Case memory_start("Go/memory_start", "KB", {1, 2}, [](int) {
  bench::in_threads(1, [] {});
  return static_cast<double>(bench::private_bytes()) / 1024;
});

// Two thousand threads stand for the million: systems do not let one start so many.
const bench::Case parked("Go/parked", "bytes", {2}, bench::kBig, [](int) {
  const std::int64_t count = std::min<std::int64_t>(bench::parked_count(2000), 2000);
  std::latch gate(1), parked(count);
  const std::int64_t before = bench::private_bytes();
  std::vector<std::thread> threads;
  for (std::int64_t i = 0; i < count; ++i) {
    threads.emplace_back([&gate, &parked] {
      parked.count_down();
      gate.wait();
    });
  }
  parked.wait();
  const auto bytes = static_cast<double>(bench::private_bytes() - before);
  gate.count_down();
  for (std::thread& t : threads) t.join();
  return bytes / static_cast<double>(count);
});

const bench::Case idle_cpu("Go/idle_cpu", "us", {2}, [](int) {
  bench::in_threads(1, [] {});
  const double before = bench::cpu_microseconds();
  std::this_thread::sleep_for(std::chrono::seconds(kSeconds));
  return (bench::cpu_microseconds() - before) / kSeconds;
});

const bench::Case late("Timer/late", "us", {2}, [](int) {
  return bench::median_delay([](bench::Delay& delay) {
    delay.begin(bench::kPause);
    std::this_thread::sleep_for(bench::kPause);
    delay.end();
  });
});

// A thread is made for it: there are none that sleep.
const bench::Case start_elsewhere("Go/start_elsewhere", "us", {2}, [](int) {
  return bench::median_delay([](bench::Delay& delay) {
    std::this_thread::sleep_for(bench::kPause);
    std::atomic<bool> started = false;
    delay.begin();
    const std::jthread other([&] {
      delay.end();
      started = true;
    });
    while (!started) {
    }
  });
});

}  // namespace
