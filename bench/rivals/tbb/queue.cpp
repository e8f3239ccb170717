// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// concurrent_bounded_queue between threads is TBB's buffered channel.
#include <oneapi/tbb/concurrent_queue.h>

#include "../threads.h"

namespace {

constexpr std::int64_t kBurst = 100;

class Chan {
 public:
  explicit Chan(std::int64_t capacity) { queue_.set_capacity(capacity); }
  void send(std::int64_t value) { queue_.push(value); }
  std::int64_t recv() {
    std::int64_t value = 0;
    queue_.pop(value);
    return value;
  }

 private:
  tbb::concurrent_bounded_queue<std::int64_t> queue_;
};

// n values from `workers` producers to as many consumers; -1 ends one consumer.
template <std::int64_t kCapacity>
void prod_cons(int workers, std::int64_t n) {
  bench::use_cpus(workers);
  Chan chan(kCapacity);
  bench::Share share(n);
  std::vector<std::thread> consumers;
  for (int i = 0; i < workers; ++i) {
    consumers.emplace_back([&chan] {
      while (chan.recv() >= 0) {
      }
    });
  }
  bench::in_threads(workers, [&] {
    while (const std::int64_t count = share.take()) {
      for (std::int64_t i = 0; i < count; ++i) chan.send(i);
    }
  });
  for (int i = 0; i < workers; ++i) chan.send(-1);
  for (std::thread& t : consumers) t.join();
}

void bursts(bench::Share& share, Chan& chan) {
  while (const std::int64_t count = share.take()) {
    for (std::int64_t left = count; left > 0; left -= kBurst) {
      const std::int64_t k = std::min(left, kBurst);
      for (std::int64_t i = 0; i < k; ++i) chan.send(i);
      for (std::int64_t i = 0; i < k; ++i) (void)chan.recv();
    }
  }
}

const bench::Case prodcons10("Chan/prodcons10", {1, 2}, prod_cons<10>);
const bench::Case prodcons100("Chan/prodcons100", {1, 2}, prod_cons<100>);

const bench::Case uncontended("Chan/uncontended", {1, 2}, [](int workers, std::int64_t n) {
  bench::Share share(n);
  bench::in_threads(workers, [&share] {
    Chan chan(kBurst);
    bursts(share, chan);
  });
});

const bench::Case contended("Chan/contended", {1, 2}, [](int workers, std::int64_t n) {
  bench::Share share(n);
  Chan chan(kBurst * workers);
  bench::in_threads(workers, [&] { bursts(share, chan); });
});

}  // namespace
