// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Memory for input and output: each request needs a buffer of 64 KiB for a moment.
#include <hamgam/hamgam.h>

#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

namespace {

struct Buffer {
  Buffer() { made.add(1); }
  std::vector<char> bytes = std::vector<char>(65536);
  std::size_t used = 0;

  static inline hamgam::Atomic<int> made;
};

std::size_t answer(Buffer& buffer, int request) {
  const int length = std::snprintf(buffer.bytes.data(), buffer.bytes.size(), "answer %d", request);
  buffer.used = static_cast<std::size_t>(length);
  return buffer.used;
}

}  // namespace

int main() {
  return hamgam::run([] {
    std::size_t sent = 0;

    // [naive]
    for (int request = 0; request < 1000; ++request) {
      const auto buffer = std::make_unique<Buffer>();
      sent += answer(*buffer, request);
    }
    // [/naive]
    std::cout << "one for each: " << Buffer::made.swap(0) << " buffers, " << sent << " bytes\n";

    // [ours]
    hamgam::Pool<Buffer> pool([] { return std::make_unique<Buffer>(); },
                              [](Buffer& buffer) { buffer.used = 0; });
    sent = 0;
    for (int request = 0; request < 1000; ++request) {
      const auto buffer = pool.get();  // goes back at the end of the scope
      sent += answer(*buffer, request);
    }
    // [/ours]
    std::cout << "from a pool: fewer than 10: " << (Buffer::made.load() < 10 ? "yes" : "no") << ", "
              << sent << " bytes\n";

    // [keep]
    hamgam::Pool<Buffer>::Lease lease = pool.get();
    answer(*lease, 7);
    const std::unique_ptr<Buffer> kept = lease.release();  // mine now
    std::cout << "kept: " << std::string(kept->bytes.data(), kept->used) << '\n';
    // [/keep]
  });
}
