// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include "../../harness/case.h"
#include "workers.h"

namespace {

using Unbuffered = boost::fibers::unbuffered_channel<std::int64_t>;
using Buffered = boost::fibers::buffered_channel<std::int64_t>;

// n values from `workers` producers to as many consumers.
template <class C>
void prod_cons(int workers, std::int64_t n, C& chan) {
  bench::Share share(n);
  std::vector<boost::fibers::fiber> consumers;
  for (int i = 0; i < workers; ++i) {
    consumers.push_back(bench::start([&chan] {
      std::int64_t value = 0;
      while (chan.pop(value) == boost::fibers::channel_op_status::success) {
      }
    }));
  }
  bench::fibers_of(workers, [&] {
    while (const std::int64_t count = share.take()) {
      for (std::int64_t i = 0; i < count; ++i) chan.push(i);
    }
  });
  chan.close();
  for (boost::fibers::fiber& f : consumers) f.join();
}

// Capacities are powers of two here, and one place stays empty.
constexpr std::size_t kTen = 16, kHundred = 128;
constexpr std::int64_t kBurst = 100;

void bursts(bench::Share& share, Buffered& chan) {
  std::int64_t value = 0;
  while (const std::int64_t count = share.take()) {
    for (std::int64_t left = count; left > 0; left -= kBurst) {
      const std::int64_t k = std::min(left, kBurst);
      for (std::int64_t i = 0; i < k; ++i) chan.push(i);
      for (std::int64_t i = 0; i < k; ++i) chan.pop(value);
    }
  }
}

// A round trip over two unbuffered channels.
const bench::Case sync("Chan/sync", {1, 2}, [](int workers, std::int64_t n) {
  bench::in_fibers(workers, [n] {
    Unbuffered there, back;
    boost::fibers::fiber echo = bench::start([&] {
      for (const std::int64_t v : there) back.push(v);
    });
    std::int64_t value = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      there.push(i);
      back.pop(value);
    }
    there.close();
    echo.join();
  });
});

const bench::Case prodcons0("Chan/prodcons0", {1, 2}, [](int workers, std::int64_t n) {
  bench::in_fibers(workers, [=] {
    Unbuffered chan;
    prod_cons(workers, n, chan);
  });
});

const bench::Case prodcons10("Chan/prodcons10", {1, 2}, [](int workers, std::int64_t n) {
  bench::in_fibers(workers, [=] {
    Buffered chan(kTen);
    prod_cons(workers, n, chan);
  });
});

const bench::Case prodcons100("Chan/prodcons100", {1, 2}, [](int workers, std::int64_t n) {
  bench::in_fibers(workers, [=] {
    Buffered chan(kHundred);
    prod_cons(workers, n, chan);
  });
});

const bench::Case uncontended("Chan/uncontended", {1, 2}, [](int workers, std::int64_t n) {
  bench::in_fibers(workers, [=] {
    bench::Share share(n);
    bench::fibers_of(workers, [&share] {
      Buffered chan(kHundred);
      bursts(share, chan);
    });
  });
});

const bench::Case contended("Chan/contended", {1, 2}, [](int workers, std::int64_t n) {
  bench::in_fibers(workers, [=] {
    bench::Share share(n);
    Buffered chan(kHundred * static_cast<std::size_t>(workers));
    bench::fibers_of(workers, [&] { bursts(share, chan); });
  });
});

}  // namespace
