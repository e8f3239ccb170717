// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// How our benchmarks enter the runtime.
#pragma once

#include <hamgam/go.h>
#include <hamgam/waitgroup.h>

#include "harness/case.h"

namespace bench {

// Runs `body` as the main goroutine, with that many workers.
template <class F>
void on_workers(int workers, F&& body) {
  if (hamgam::max_procs() != workers) (void)hamgam::max_procs(workers);
  (void)hamgam::run(body);
}

// Runs `body` in that many goroutines at once and waits for them.
template <class F>
void in_goroutines(int count, const F& body) {
  hamgam::WaitGroup all;
  for (int i = 0; i < count; ++i) all.go([&body] { body(); });
  all.wait();
}

struct Goroutines {
  template <class F>
  static void enter(int workers, const F& body) {
    on_workers(workers, body);
  }
  template <class F>
  static void in(int count, const F& body) {
    in_goroutines(count, body);
  }
};

}  // namespace bench
