// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// A pipeline of stages, each a goroutine with a channel at either end. Its reader has enough after
// a few values and cancels: every stage ends, whatever it is waiting for.
#include <hamgam/hamgam.h>

#include <iostream>
#include <optional>
#include <utility>

namespace {

using hamgam::Chan;
using hamgam::RecvChan;
using hamgam::Unit;

// Sends the value, unless the pipeline is cancelled first.
bool pass_on(const Chan<int>& to, int value, const RecvChan<Unit>& cancelled) {
  return hamgam::select(on_send(to, value), on_recv(cancelled)) == 0;
}

RecvChan<int> numbers(hamgam::WaitGroup& stages, RecvChan<Unit> cancelled) {
  auto out = hamgam::make_chan<int>();
  stages.go([=] {
    for (int i = 1; pass_on(out, i, cancelled); ++i) {
    }
    out.close();
  });
  return out;
}

RecvChan<int> squares(hamgam::WaitGroup& stages, RecvChan<int> in, RecvChan<Unit> cancelled) {
  auto out = hamgam::make_chan<int>();
  stages.go([=] {
    for (const int n : in) {
      if (!pass_on(out, n * n, cancelled)) {
        break;
      }
    }
    out.close();
  });
  return out;
}

}  // namespace

int main() {
  return hamgam::run([] {
    hamgam::WaitGroup stages;
    auto cancelled = hamgam::make_chan<Unit>();
    for (const int square : squares(stages, numbers(stages, cancelled), cancelled)) {
      if (square > 50) {
        break;
      }
      std::cout << square << ' ';
    }
    cancelled.close();  // a broadcast: everyone who selects on it goes on
    stages.wait();
    std::cout << "done\n";
  });
}
