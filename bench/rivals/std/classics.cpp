// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include <deque>
#include <semaphore>

#include "../threads.h"

namespace {

constexpr std::int64_t kRingSize = 503;

// One pass of a token round 503 threads; semaphores stand for the channels.
const bench::Case ring("ThreadRing", {1, 2}, [](int workers, std::int64_t n) {
  bench::use_cpus(workers);
  std::deque<std::binary_semaphore> turn;
  for (std::int64_t i = 0; i < kRingSize; ++i) turn.emplace_back(0);
  std::int64_t left = n;
  std::vector<std::thread> threads;
  for (std::int64_t i = 0; i < kRingSize; ++i) {
    threads.emplace_back([&turn, &left, i] {
      // -1 and below: all go home.
      for (bool more = true; more;) {
        turn[static_cast<std::size_t>(i)].acquire();
        more = left >= 0;
        const bool last = --left < -kRingSize;
        if (!last) turn[static_cast<std::size_t>((i + 1) % kRingSize)].release();
      }
    });
  }
  turn[0].release();
  for (std::thread& t : threads) t.join();
});

}  // namespace
