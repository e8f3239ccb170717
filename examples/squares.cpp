// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// The WaitGroup closure pattern: each goroutine takes its own copy of i and writes i and i*i to a
// shared map. Once with add and done, as in older Go, and once with WaitGroup::go.
#include <hamgam/hamgam.h>

#include <iostream>
#include <map>
#include <mutex>

namespace {

constexpr int kCount = 5;
using Squares = std::map<int, int>;

Squares with_add_and_done() {
  Squares squares;
  hamgam::Mutex mutex;
  hamgam::WaitGroup group;
  for (int i = 0; i < kCount; ++i) {
    group.add();
    hamgam::go([&, i] {
      {
        const std::lock_guard lock(mutex);
        squares[i] = i * i;
      }
      group.done();
    });
  }
  group.wait();
  return squares;
}

Squares with_go() {
  hamgam::Guarded<Squares> squares;
  hamgam::WaitGroup group;
  for (int i = 0; i < kCount; ++i) {
    group.go([&squares, i] { (*squares.lock())[i] = i * i; });
  }
  group.wait();
  return *squares.lock();
}

void print(const char* title, const Squares& squares) {
  std::cout << title << ':';
  for (const auto& [i, square] : squares) {
    std::cout << ' ' << i << "->" << square;
  }
  std::cout << '\n';
}

}  // namespace

int main() {
  return hamgam::run([] {
    print("add/done", with_add_and_done());
    print("WaitGroup::go", with_go());
  });
}
