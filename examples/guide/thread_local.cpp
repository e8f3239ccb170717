// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// What belongs to a thread does not belong to a goroutine.
#include <hamgam/hamgam.h>

#include <iostream>
#include <string>

namespace {

using hamgam::Context;

// [naive]
thread_local int current_request = 0;

int serve_badly(int request) {
  current_request = request;
  hamgam::yield();         // others run on this thread, or we go on on another one
  return current_request;  // whose?
}
// [/naive]

// [ours]
constexpr hamgam::ContextKey<int> kRequest;

int serve(const Context& ctx) {
  hamgam::yield();
  return *ctx.value(kRequest);
}
// [/ours]

}  // namespace

int main() {
  return hamgam::run([] {
    hamgam::Atomic<int> wrong;
    hamgam::WaitGroup group;
    for (int request = 1; request <= 1000; ++request) {
      group.go([&, request] {
        if (serve_badly(request) != request) {
          wrong.add(1);
        }
      });
    }
    group.wait();
    std::cout << "thread_local: wrong in " << wrong.swap(0) << " of 1000\n";

    for (int request = 1; request <= 1000; ++request) {
      const Context ctx = hamgam::with_value(Context::background(), kRequest, request);
      group.go([&wrong, ctx, request] {
        if (serve(ctx) != request) {
          wrong.add(1);
        }
      });
    }
    group.wait();
    std::cout << "Context: wrong in " << wrong.load() << " of 1000\n";
  });
}
