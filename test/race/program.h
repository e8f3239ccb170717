// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#pragma once

// Small programs for ThreadSanitizer as users have it: a library that is not instrumented, a
// program that is. Those named race_* have one and must be reported, those named order_* have none
// and must not.

#include <hamgam/hamgam.h>

#include <atomic>
#include <cstdio>
#include <functional>
#include <map>
#include <string>

namespace hamgam::test {

using namespace std::chrono_literals;

inline int shared_number = 0;

// More than once: two accesses at the very same moment may miss each other's traces.
inline void touch() {
  for (int i = 0; i < 3; ++i) {
    ++shared_number;
  }
}

// Who comes when, which ThreadSanitizer does not see.
class Turns {
 public:
  void await(int turn) const {
    while (turn_.load(std::memory_order_relaxed) < turn) {
      yield();
    }
  }
  void next() { turn_.fetch_add(1, std::memory_order_relaxed); }

 private:
  std::atomic<int> turn_{0};
};

// On one worker: lets all others run until they wait or have ended.
inline void let_others_wait() {
  for (int i = 0; i < 20; ++i) {
    yield();
  }
}

// Starts them one after the other on one worker, each when those before it wait or have ended.
template <class... F>
void one_by_one(F... goroutines) {
  max_procs(1);
  run([&] {
    WaitGroup group;
    (
        [&] {
          group.go(goroutines);
          let_others_wait();
        }(),
        ...);
    group.wait();
  });
}

// An element that is copied as a whole, but not by one instruction.
struct Wide {
  long words[4];
};

inline void await_last() {
  while (num_goroutine() > 1) {
    yield();
  }
}

// Runs the one that is named; lists them if there is none.
inline int run_program(const std::map<std::string, std::function<void()>>& programs, int argc,
                       char** argv) {
  auto const program = programs.find(argc > 1 ? argv[1] : "");
  if (program == programs.end()) {
    for (const auto& entry : programs) {
      std::puts(entry.first.c_str());
    }
    return 2;
  }
  program->second();
  std::puts("done");
  return 0;
}

}  // namespace hamgam::test
