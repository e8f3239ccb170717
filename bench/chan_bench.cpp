// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Channels: round trips, producers and consumers, bursts into a buffer.
#include <hamgam/chan.h>

#include "goroutines.h"

namespace {

using hamgam::Chan;
using hamgam::make_chan;

// `workers` producers send n values to as many consumers.
void prod_cons(int workers, std::int64_t n, std::size_t capacity) {
  bench::on_workers(workers, [=] {
    const auto ch = make_chan<int>(capacity);
    bench::Share share(n);
    hamgam::WaitGroup consumers;
    for (int i = 0; i < workers; ++i) {
      consumers.go([ch] {
        while (ch.recv()) {
        }
      });
    }
    bench::in_goroutines(workers, [&] {
      while (const std::int64_t count = share.take()) {
        for (std::int64_t i = 0; i < count; ++i) ch.send(static_cast<int>(i));
      }
    });
    ch.close();
    consumers.wait();
  });
}

constexpr std::int64_t kBurst = 100;

// Sends a hundred values and receives a hundred, in turn.
void bursts(bench::Share& share, const Chan<int>& ch) {
  while (const std::int64_t count = share.take()) {
    for (std::int64_t left = count; left > 0; left -= kBurst) {
      const std::int64_t k = std::min(left, kBurst);
      for (std::int64_t i = 0; i < k; ++i) ch.send(static_cast<int>(i));
      for (std::int64_t i = 0; i < k; ++i) ch.recv();
    }
  }
}

// A round trip over two unbuffered channels.
const bench::Case sync("Chan/sync", {1, 2}, [](int workers, std::int64_t n) {
  bench::on_workers(workers, [n] {
    const auto there = make_chan<int>();
    const auto back = make_chan<int>();
    hamgam::WaitGroup echo;
    echo.go([=] {
      for (const int v : there) back.send(v);
    });
    for (std::int64_t i = 0; i < n; ++i) {
      there.send(static_cast<int>(i));
      back.recv();
    }
    there.close();
    echo.wait();
  });
});

const bench::Case prod_cons_0("Chan/prodcons0", {1, 2},
                              [](int workers, std::int64_t n) { prod_cons(workers, n, 0); });
const bench::Case prod_cons_10("Chan/prodcons10", {1, 2},
                               [](int workers, std::int64_t n) { prod_cons(workers, n, 10); });
const bench::Case prod_cons_100("Chan/prodcons100", {1, 2},
                                [](int workers, std::int64_t n) { prod_cons(workers, n, 100); });

const bench::Case uncontended("Chan/uncontended", {1, 2}, [](int workers, std::int64_t n) {
  bench::on_workers(workers, [=] {
    bench::Share share(n);
    bench::in_goroutines(workers, [&] { bursts(share, make_chan<int>(kBurst)); });
  });
});

const bench::Case contended("Chan/contended", {1, 2}, [](int workers, std::int64_t n) {
  bench::on_workers(workers, [=] {
    bench::Share share(n);
    const auto ch = make_chan<int>(static_cast<std::size_t>(kBurst * workers));
    bench::in_goroutines(workers, [&] { bursts(share, ch); });
  });
});

}  // namespace
