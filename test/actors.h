// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Who takes part in a test: goroutines, plain threads, or some of each; and how a test waits for what they
// do, without sleeping for a time and hoping.

#include <gtest/gtest.h>
#include <hamgam/go.h>
#include <hamgam/waitgroup.h>

#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "wait/parking_lot.h"

namespace hamgam_test {

enum class Kind { kGoroutines, kThreads, kBoth };

inline std::string name_of(Kind kind) {
  return kind == Kind::kGoroutines ? "goroutines" : kind == Kind::kThreads ? "threads" : "both";
}

// For INSTANTIATE_TEST_SUITE_P.
inline auto all_kinds() { return testing::Values(Kind::kGoroutines, Kind::kThreads, Kind::kBoth); }
inline std::string kind_name(const testing::TestParamInfo<Kind>& info) {
  return name_of(info.param);
}

class Actors {
 public:
  explicit Actors(Kind kind) : kind_(kind) {}
  ~Actors() { join(); }
  Actors(const Actors&) = delete;
  Actors& operator=(const Actors&) = delete;

  template <class F>
  void start(F f) {
    const bool thread = kind_ == Kind::kThreads || (kind_ == Kind::kBoth && ++count_ % 2 == 0);
    if (thread) {
      threads_.emplace_back(std::move(f));
    } else {
      goroutines_.go(std::move(f));
    }
  }

  void join() {
    goroutines_.wait();
    for (auto& thread : threads_) {
      thread.join();
    }
    threads_.clear();
  }

 private:
  const Kind kind_;
  int count_ = 0;
  hamgam::WaitGroup goroutines_;
  std::vector<std::thread> threads_;
};

// Until the condition is true.
template <class C>
void until(C condition) {
  while (!condition()) {
    hamgam::yield();
  }
}

// How many sleep on an address.
inline int parked_on(const void* address) {
  auto& bucket = hamgam::detail::bucket_of(address);
  bucket.lock();
  int count = 0;
  for (const auto* waiter = bucket.first(address); waiter != nullptr; waiter = waiter->next) {
    count += waiter->awake ? 0 : 1;
  }
  bucket.unlock();
  return count;
}

inline void until_parked(const void* address, int count) {
  until([&] { return parked_on(address) == count; });
}

}  // namespace hamgam_test
