// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// A pipeline of three stages that stops when its reader has had enough: each stage is a goroutine
// that sends on its own channel until the context is cancelled, and closes it then.
#include <hamgam/hamgam.h>

#include <iostream>

namespace {

using hamgam::Context;
using hamgam::RecvChan;

// Starts a stage: body(send) with a send that is false once the context is cancelled.
template <class Body>
RecvChan<int> stage(hamgam::WaitGroup& all, const Context& ctx, Body body) {
  auto out = hamgam::make_chan<int>();
  all.go([ctx, out, body] {
    body([&](int value) { return out.send(value, ctx.stop_token()); });
    out.close();
  });
  return out;
}

RecvChan<int> count(hamgam::WaitGroup& all, const Context& ctx) {
  return stage(all, ctx, [](auto send) {
    for (int i = 1; send(i); ++i) {
    }
  });
}

RecvChan<int> square(hamgam::WaitGroup& all, const Context& ctx, const RecvChan<int>& in) {
  return stage(all, ctx, [in](auto send) {
    for (const int value : in) {
      if (!send(value * value)) {
        break;
      }
    }
  });
}

RecvChan<int> only_even(hamgam::WaitGroup& all, const Context& ctx, const RecvChan<int>& in) {
  return stage(all, ctx, [in](auto send) {
    for (const int value : in) {
      if (value % 2 == 0 && !send(value)) {
        break;
      }
    }
  });
}

}  // namespace

int main() {
  return hamgam::run([] {
    hamgam::WaitGroup all;
    auto [ctx, cancel] = hamgam::with_cancel(Context::background());
    const auto results = only_even(all, ctx, square(all, ctx, count(all, ctx)));
    for (int i = 0; i < 5; ++i) {
      std::cout << *results.recv() << ' ';
    }
    cancel();
    all.wait();
    std::cout << "and all stages have ended\n";
  });
}
