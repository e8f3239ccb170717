// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include <cstdlib>
#include <deque>

#include "../../harness/case.h"
#include "workers.h"

namespace {

using Unbuffered = boost::fibers::unbuffered_channel<std::int64_t>;
using Buffered = boost::fibers::buffered_channel<std::int64_t>;

constexpr std::int64_t kLeaves = 1'000'000;
constexpr std::int64_t kRingSize = 503;

// The sum of `size` leaves, the first of which is `number`: ten parts, each a fiber that does the
// same. Children run before their maker and their channel holds them all, so that few are alive
// at once: each stack is a mapping, and a million of them the system does not allow.
void skynet(Buffered& chan, std::int64_t number, std::int64_t size) {
  if (size == 1) {
    chan.push(number);
    return;
  }
  Buffered parts(16);
  for (std::int64_t i = 0; i < 10; ++i) {
    boost::fibers::fiber(boost::fibers::launch::dispatch, [&parts, number, size, i] {
      skynet(parts, number + i * (size / 10), size / 10);
    }).detach();
  }
  std::int64_t sum = 0;
  for (int i = 0; i < 10; ++i) sum += parts.value_pop();
  chan.push(sum);
}

const bench::Case leaves("Skynet", "ms", {1}, [](int workers, std::int64_t n) {
  bench::in_fibers(workers, [n] {
    for (std::int64_t i = 0; i < n; ++i) {
      Buffered chan(2);
      skynet(chan, 0, kLeaves);
      if (chan.value_pop() != kLeaves / 2 * (kLeaves - 1)) std::abort();
    }
  });
});

// Hands on the number of passes left; -1 and below: all go home.
void pass(Unbuffered& from, Unbuffered& to) {
  for (std::int64_t left = from.value_pop();; left = from.value_pop()) {
    if (left > -kRingSize) to.push(left - 1);
    if (left < 0) return;
  }
}

// One pass of a token round 503 fibers.
const bench::Case ring("ThreadRing", {1, 2}, [](int workers, std::int64_t n) {
  bench::in_fibers(workers, [n] {
    std::deque<Unbuffered> links(kRingSize);
    std::vector<boost::fibers::fiber> fibers;
    for (std::size_t i = 0; i < kRingSize; ++i) {
      fibers.push_back(
          bench::start([&from = links[i], &to = links[(i + 1) % kRingSize]] { pass(from, to); }));
    }
    links[0].push(n);
    for (boost::fibers::fiber& f : fibers) f.join();
  });
});

}  // namespace
