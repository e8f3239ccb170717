// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include <chrono>

#include "../../harness/case.h"
#include "../../harness/process.h"
#include "workers.h"

namespace {

constexpr int kSeconds = 2;

const bench::Case memory_start("Go/memory_start", "KB", {1, 2}, [](int workers) {
  double bytes = 0;
  bench::in_fibers(workers, [&bytes] {
    bench::fibers_of(1, [] {});
    bytes = static_cast<double>(bench::private_bytes());
  });
  return bytes / 1024;
});

// Twenty thousand stand for the million: each default stack is a mapping of its own, and a
// process may have some 65,000 of them.
const bench::Case parked("Go/parked", "bytes", {2}, bench::kBig, [](int workers) {
  const std::int64_t count = std::min<std::int64_t>(bench::parked_count(20'000), 20'000);
  double bytes = 0;
  bench::in_fibers(workers, [&bytes, count] {
    boost::fibers::barrier parked(static_cast<std::size_t>(count) + 1);
    const std::int64_t before = bench::private_bytes();
    std::vector<boost::fibers::fiber> fibers;
    for (std::int64_t i = 0; i < count; ++i) {
      fibers.push_back(bench::start([&parked] { parked.wait(); }));
    }
    // A turn for each of them to reach the barrier.
    for (int i = 0; i < 8; ++i) boost::this_fiber::sleep_for(std::chrono::milliseconds(50));
    bytes = static_cast<double>(bench::private_bytes() - before);
    parked.wait();
    for (boost::fibers::fiber& f : fibers) f.join();
  });
  return bytes / static_cast<double>(count);
});

const bench::Case idle_cpu("Go/idle_cpu", "us", {2}, [](int workers) {
  double microseconds = 0;
  bench::in_fibers(workers, [&microseconds] {
    bench::fibers_of(1, [] {});
    const double before = bench::cpu_microseconds();
    boost::this_fiber::sleep_for(std::chrono::seconds(kSeconds));
    microseconds = bench::cpu_microseconds() - before;
  });
  return microseconds / kSeconds;
});

}  // namespace
