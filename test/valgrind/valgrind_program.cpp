// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// A correct program with every kind of switch, in which Valgrind must find no fault: it was told of
// no stack, reported hundreds and ended by a signal.

#include <chrono>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "hamgam/hamgam.h"

namespace {

using namespace std::chrono_literals;

// Some stack, in frames of many sizes.
template <std::size_t kBytes>
__attribute__((noinline)) int deep(int levels) {
  char frame[kBytes];
  std::memset(frame, levels, sizeof frame);
  int const below = levels > 0 ? deep<kBytes>(levels - 1) : 0;
  return below + frame[levels % kBytes];
}

__attribute__((noinline)) int fails(int levels) {
  if (levels == 0) {
    throw std::runtime_error("deep");
  }
  return fails(levels - 1) + 1;
}

int work(int i) {
  std::vector<std::string> words;
  int sum = 0;
  for (int round = 0; round < 4; ++round) {
    words.emplace_back("goroutine " + std::to_string(i));
    sum += deep<40>(9) + deep<700>(9) + deep<9000>(3);
    try {
      (void)fails(20);
    } catch (const std::exception&) {
      hamgam::yield();
      sum += deep<300>(5);
    }
    if (round % 4 == i % 4) {
      hamgam::sleep(100us);
    }
  }
  return sum + static_cast<int>(words.size());
}

}  // namespace

int main() {
  return hamgam::run([] {
    auto c = hamgam::make_chan<int>();
    hamgam::Mutex mutex;
    hamgam::WaitGroup group;
    int sum = 0;
    for (int i = 0; i < 12; ++i) {
      group.go([&, c, i] {
        int const done = work(i);
        mutex.lock();
        sum += done;
        mutex.unlock();
        c.send(i);
        hamgam::blocking([] { std::this_thread::sleep_for(1ms); });
      });
    }
    for (int i = 0; i < 12; ++i) {
      (void)c.recv();
    }
    group.wait();
    std::printf("%d\n", sum);
  });
}
