// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// A correct program with every kind of switch, in which Valgrind must find no fault: it was told of
// no stack, reported hundreds and ended by a signal.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
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

// Whether the calling goroutine's stack ends at a mapping that the kernel refuses, as Valgrind
// knows them. At the exit it reads all others word by word: for guards of another kind it took
// seconds.
bool has_known_guard() {
  char here = 0;
  auto const address = reinterpret_cast<std::uintptr_t>(&here);
  std::ifstream maps("/proc/self/maps");
  bool refused = false;
  std::uintptr_t start = 0;
  std::uintptr_t end = 0;
  for (std::string line; std::getline(maps, line);) {
    char permissions[8] = "";
    std::uintptr_t const below = end;
    if (std::sscanf(line.c_str(), "%lx-%lx %7s", &start, &end, permissions) != 3) {
      return false;
    }
    if (address >= start && address < end) {
      return refused && below == start;
    }
    refused = std::strcmp(permissions, "---p") == 0;
  }
  return false;
}

}  // namespace

int main() {
  return hamgam::run([] {
    if (!hamgam::spawn(has_known_guard).get()) {
      std::puts("Valgrind does not know the stacks' guards");
      return 1;
    }
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
    return 0;
  });
}
