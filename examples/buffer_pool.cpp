// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// 1,000 requests format an answer into a buffer of 64 KiB, 100 goroutines at a time. Without a pool
// each request allocates its buffer; with one, there are as many buffers as were ever in use at
// once.
#include <hamgam/hamgam.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

namespace {

constexpr int kRequests = 1000;
constexpr int kAtOnce = 100;

struct Buffer {
  Buffer() { allocations.add(); }
  std::vector<char> bytes = std::vector<char>(65536);
  std::size_t used = 0;

  static inline hamgam::Counter allocations;
};

// The work on one request: it waits for its turn in between, as with real input and output.
std::size_t answer(Buffer& buffer, int request) {
  int const length = std::snprintf(buffer.bytes.data(), buffer.bytes.size(), "answer %d", request);
  hamgam::yield();
  buffer.used = static_cast<std::size_t>(length);
  return buffer.used;
}

// Runs serve(request) for all of them and returns how many buffers were allocated.
template <class Serve>
std::int64_t allocations_of(Serve serve) {
  std::int64_t const before = Buffer::allocations.value();
  hamgam::Atomic<std::int64_t> sent;
  for (int first = 0; first < kRequests; first += kAtOnce) {
    hamgam::WaitGroup group;
    for (int request = first; request < first + kAtOnce; ++request) {
      group.go([&serve, &sent, request] { sent.add(static_cast<std::int64_t>(serve(request))); });
    }
    group.wait();
  }
  if (sent.load() != 9890) {
    std::puts("an answer is wrong");
    std::exit(1);
  }
  return Buffer::allocations.value() - before;
}

}  // namespace

int main() {
  return hamgam::run([] {
    std::int64_t const without = allocations_of([](int request) {
      auto const buffer = std::make_unique<Buffer>();
      return answer(*buffer, request);
    });

    hamgam::Pool<Buffer> pool([] { return std::make_unique<Buffer>(); },
                              [](Buffer& buffer) { buffer.used = 0; });
    std::int64_t const with = allocations_of([&pool](int request) {
      auto const buffer = pool.get();  // back into the pool at the end of the scope
      return answer(*buffer, request);
    });

    std::printf("Without a pool: %lld buffers allocated\n", static_cast<long long>(without));
    std::printf("With a pool: %s\n", with <= 2 * kAtOnce ? "at most 200" : "too many");
    std::printf("(%lld, of which %zu are in the pool now)\n", static_cast<long long>(with),
                pool.trim());
  });
}
