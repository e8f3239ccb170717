// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// The nearest that plain threads have to goroutines.
#include <latch>
#include <thread>

#include "../threads.h"

namespace {

constexpr std::int64_t kBatch = 1000;

const bench::Case spawn("Go/spawn", {1, 2}, [](int workers, std::int64_t n) {
  bench::use_cpus(workers);
  std::vector<std::thread> threads;
  for (std::int64_t left = n; left > 0; left -= kBatch) {
    const std::int64_t count = std::min(left, kBatch);
    std::latch all(count);
    for (std::int64_t i = 0; i < count; ++i) threads.emplace_back([&all] { all.count_down(); });
    all.wait();
    for (std::thread& t : threads) t.join();
    threads.clear();
  }
});

const bench::Case spawn_one("Go/spawn_one", {1, 2}, [](int workers, std::int64_t n) {
  bench::use_cpus(workers);
  for (std::int64_t i = 0; i < n; ++i) std::thread([] {}).join();
});

const bench::Case yield("Go/yield", {1, 2}, [](int workers, std::int64_t n) {
  bench::use_cpus(workers);
  bench::in_threads(2, [n] {
    for (std::int64_t i = 0; i < n / 2; ++i) std::this_thread::yield();
  });
});

const bench::Case wait("WaitGroup/wait", {1}, [](int, std::int64_t n) {
  bench::in_threads(1, [n] {
    std::latch group(0);
    for (std::int64_t i = 0; i < n; ++i) group.wait();
  });
});

}  // namespace
