// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// The prime sieve: a chain of filters, one goroutine for each prime found so far. What falls
// through all of them is the next prime.
#include <hamgam/hamgam.h>

#include <iostream>

namespace {

using hamgam::RecvChan;
using hamgam::SendChan;

void generate(SendChan<int> to) {
  for (int i = 2;; ++i) {
    to.send(i);
  }
}

void filter(RecvChan<int> from, SendChan<int> to, int prime) {
  for (const int i : from) {
    if (i % prime != 0) {
      to.send(i);
    }
  }
}

}  // namespace

int main() {
  return hamgam::run([] {
    auto chan = hamgam::make_chan<int>();
    hamgam::go(generate, chan);
    for (int i = 0; i < 20; ++i) {
      const int prime = *chan.recv();
      std::cout << prime << (i < 19 ? ' ' : '\n');
      auto next = hamgam::make_chan<int>();
      hamgam::go(filter, chan, next, prime);
      chan = next;
    }
    // run() returns with main; the filters are left where they stand, as in Go.
  });
}
