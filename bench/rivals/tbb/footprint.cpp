// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include <oneapi/tbb/task_group.h>

#include <chrono>
#include <thread>

#include "../../harness/case.h"
#include "../../harness/process.h"
#include "workers.h"

namespace {

constexpr int kSeconds = 2;

void start() {
  tbb::task_group all;
  all.run([] {});
  all.wait();
}

const bench::Case memory_start("Go/memory_start", "KB", {1, 2}, [](int workers) {
  double bytes = 0;
  bench::in_arena(workers, [&bytes] {
    start();
    bytes = static_cast<double>(bench::private_bytes());
  });
  return bytes / 1024;
});

const bench::Case idle_cpu("Go/idle_cpu", "us", {2}, [](int workers) {
  double microseconds = 0;
  bench::in_arena(workers, [&microseconds] {
    start();
    const double before = bench::cpu_microseconds();
    std::this_thread::sleep_for(std::chrono::seconds(kSeconds));
    microseconds = bench::cpu_microseconds() - before;
  });
  return microseconds / kSeconds;
});

}  // namespace
