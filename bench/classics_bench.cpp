// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Whole programs that do little but start goroutines and pass values.
#include <hamgam/chan.h>

#include <cstdlib>

#include "goroutines.h"

namespace {

using hamgam::Chan;
using hamgam::make_chan;
using hamgam::Unit;

constexpr std::int64_t kLeaves = 1'000'000;
constexpr int kRingSize = 503;

// Sends the sum of `size` leaves, the first of which is `number`: ten parts, each a goroutine that
// does the same.
void add_up(const Chan<std::int64_t>& ch, std::int64_t number, std::int64_t size) {
  if (size == 1) {
    ch.send(number);
    return;
  }
  const auto parts = make_chan<std::int64_t>();
  for (int i = 0; i < 10; ++i) {
    hamgam::go(
        [parts, from = number + i * (size / 10), part = size / 10] { add_up(parts, from, part); });
  }
  std::int64_t sum = 0;
  for (int i = 0; i < 10; ++i) sum += parts.recv().value_or(0);
  ch.send(sum);
}

// Hands on the number of passes left; -1 tells all to go home.
void pass(const Chan<int>& from, const Chan<int>& to, const Chan<Unit>& done) {
  for (const int left : from) {
    if (left < 0) {
      if (left > -kRingSize) to.send(left - 1);
      break;
    }
    to.send(left - 1);
  }
  done.send({});
}

// A million leaves.
const bench::Case skynet("Skynet", "ms", {1, 2}, [](int workers, std::int64_t n) {
  bench::on_workers(workers, [n] {
    for (std::int64_t i = 0; i < n; ++i) {
      const auto ch = make_chan<std::int64_t>();
      hamgam::go([ch] { add_up(ch, 0, kLeaves); });
      if (ch.recv() != kLeaves / 2 * (kLeaves - 1)) std::abort();
    }
  });
});

// One pass of a token round 503 goroutines.
const bench::Case thread_ring("ThreadRing", {1, 2}, [](int workers, std::int64_t n) {
  bench::on_workers(workers, [n] {
    const auto first = make_chan<int>();
    const auto done = make_chan<Unit>();
    auto from = first;
    for (int i = 1; i < kRingSize; ++i) {
      const auto to = make_chan<int>();
      hamgam::go([=] { pass(from, to, done); });
      from = to;
    }
    hamgam::go([=] { pass(from, first, done); });
    first.send(static_cast<int>(n));
    for (int i = 0; i < kRingSize; ++i) done.recv();
  });
});

}  // namespace
