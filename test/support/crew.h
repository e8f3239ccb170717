// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Who takes part in a test: each primitive is tested between goroutines, between plain threads, and
// between the two.

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "hamgam/go.h"
#include "hamgam/waitgroup.h"

namespace hamgam::test {

enum class Who { kGoroutines, kBoth, kThreads };

inline std::string name_of(const testing::TestParamInfo<Who>& info) {
  constexpr const char* kNames[] = {"goroutines", "both", "threads"};
  return kNames[static_cast<int>(info.param)];
}

inline auto everybody() { return testing::Values(Who::kGoroutines, Who::kBoth, Who::kThreads); }

// Starts functions as goroutines or threads, of both kinds by turns; join() waits for all.
class Crew {
 public:
  explicit Crew(Who who) : who_(who) {}
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;
  ~Crew() { join(); }

  void start(std::function<void()> f) {
    if (who_ == Who::kThreads || (who_ == Who::kBoth && count_ % 2 == 1)) {
      threads_.emplace_back(std::move(f));
    } else {
      goroutines_.go(std::move(f));
    }
    ++count_;
  }

  void join() {
    for (std::thread& thread : threads_) {
      thread.join();
    }
    threads_.clear();
    goroutines_.wait();
  }

 private:
  Who who_;
  int count_ = 0;
  WaitGroup goroutines_;
  std::vector<std::thread> threads_;
};

// f(i) for all i below n at once; returns when all have.
template <class F>
void at_once(Who who, int n, F f) {
  Crew crew(who);
  for (int i = 0; i < n; ++i) {
    crew.start([f, i]() mutable { f(i); });
  }
}

// The limit on goroutines at once, set for a scope.
class Procs {
 public:
  explicit Procs(int n) : former_(max_procs(n)) {}
  ~Procs() { max_procs(former_); }
  Procs(const Procs&) = delete;
  Procs& operator=(const Procs&) = delete;

 private:
  int former_;
};

}  // namespace hamgam::test
