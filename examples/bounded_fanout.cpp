// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Many pieces of work, a few at a time: a channel of capacity N as a counting semaphore. To send
// into it is to take one of N places, to receive is to give it back.
#include <hamgam/hamgam.h>

#include <algorithm>
#include <iostream>

namespace {

constexpr int kPieces = 100;
constexpr std::size_t kAtOnce = 4;

}  // namespace

int main() {
  return hamgam::run([] {
    auto places = hamgam::make_chan<hamgam::Unit>(kAtOnce);
    hamgam::Atomic<int> running;
    hamgam::Guarded<int> most{0};
    hamgam::Atomic<int> sum;

    hamgam::WaitGroup group;
    for (int piece = 1; piece <= kPieces; ++piece) {
      places.send({});  // waits while all places are taken
      group.go([&, piece] {
        const int now = running.add(1);
        most.with([now](int& m) { m = std::max(m, now); });
        hamgam::yield();  // the work
        sum.add(piece);
        running.add(-1);
        places.recv();
      });
    }
    group.wait();
    const bool bounded = *most.lock() <= static_cast<int>(kAtOnce);
    std::cout << "sum " << sum.load() << ", never more than " << kAtOnce
              << " at once: " << (bounded ? "yes" : "no") << '\n';
  });
}
