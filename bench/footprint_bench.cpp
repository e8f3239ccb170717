// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// What the runtime costs a whole process: each figure in a process of its own.
#include <hamgam/time.h>

#include <atomic>
#include <chrono>

#include "goroutines.h"
#include "harness/delays.h"
#include "harness/process.h"

namespace {

constexpr int kSeconds = 2;

// All private memory of a program that has started one goroutine.
const bench::Case memory_start("Go/memory_start", "KB", {1, 2}, [](int workers) {
  double bytes = 0;
  bench::on_workers(workers, [&bytes] {
    bench::in_goroutines(1, [] {});
    bytes = static_cast<double>(bench::private_bytes());
  });
  return bytes / 1024;
});

// Resident bytes for each of a million goroutines that wait.
const bench::Case parked("Go/parked", "bytes", {2}, bench::kBig, [](int workers) {
  const std::int64_t count = bench::parked_count(1'000'000);
  double bytes = 0;
  bench::on_workers(workers, [&bytes, count] {
    hamgam::WaitGroup gate, parked, ended;
    const std::int64_t before = bench::private_bytes();
    gate.add(1);
    parked.add(static_cast<int>(count));
    ended.add(static_cast<int>(count));
    for (std::int64_t i = 0; i < count; ++i) {
      hamgam::go([&gate, &parked, &ended] {
        parked.done();
        gate.wait();
        ended.done();
      });
    }
    parked.wait();
    bytes = static_cast<double>(bench::private_bytes() - before);
    gate.done();
    ended.wait();
  });
  return bytes / static_cast<double>(count);
});

// Processor time per second of a program whose goroutines all sleep.
const bench::Case idle_cpu("Go/idle_cpu", "us", {2}, [](int workers) {
  double microseconds = 0;
  bench::on_workers(workers, [&microseconds] {
    bench::in_goroutines(1, [] {});
    hamgam::WaitGroup never;
    never.add(1);
    const double before = bench::cpu_microseconds();
    (void)never.wait_for(std::chrono::seconds(kSeconds));
    microseconds = bench::cpu_microseconds() - before;
    never.done();
  });
  return microseconds / kSeconds;
});

// How long after its time a sleep ends.
const bench::Case late("Timer/late", "us", {2}, [](int workers) {
  double median = 0;
  bench::on_workers(workers, [&median] {
    median = bench::median_delay([](bench::Delay& delay) {
      delay.begin(bench::kPause);
      hamgam::sleep(bench::kPause);
      delay.end();
    });
  });
  return median;
});

// How long a goroutine waits for a worker that sleeps, while the one that started it computes.
const bench::Case start_elsewhere("Go/start_elsewhere", "us", {2}, [](int workers) {
  double median = 0;
  bench::on_workers(workers, [&median] {
    median = bench::median_delay([](bench::Delay& delay) {
      hamgam::sleep(bench::kPause);
      std::atomic<bool> started = false;
      hamgam::WaitGroup ended;
      delay.begin();
      ended.go([&] {
        delay.end();
        started = true;
      });
      while (!started) {
      }
      ended.wait();
    });
  });
  return median;
});

}  // namespace
