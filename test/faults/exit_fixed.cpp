// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// A program that is not position-independent and takes the address of exit has a stub of its own
// for that, which is the function's address for everybody. Goroutines were not stopped then while
// local static objects were destroyed: these go before the handlers of exit are called.
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "hamgam/hamgam.h"

namespace {

std::atomic<long> g_turns{0};

// The exit stops goroutines before the first is destroyed.
struct Late {
  ~Late() {
    long const before = g_turns;
    for (int i = 0; i < 10'000; ++i) {
      std::this_thread::yield();  // it may run
    }
    if (g_turns != before) {
      std::fputs("goroutines run beside the destruction of a static object\n", stderr);
      std::_Exit(1);
    }
  }
};

}  // namespace

int main() {
  std::signal(SIGUSR1, reinterpret_cast<void (*)(int)>(&std::exit));
  (void)hamgam::run([] {
    hamgam::go([] {
      for (;;) {
        ++g_turns;
        hamgam::yield();
      }
    });
    while (g_turns == 0) {
      hamgam::yield();
    }
    static Late const late;
  });
  return 0;
}
