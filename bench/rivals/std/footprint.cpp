// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Plain threads as whole processes.
#include <chrono>
#include <latch>

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

}  // namespace
