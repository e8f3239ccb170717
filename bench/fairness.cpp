// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "harness/fairness.h"

#include <hamgam/chan.h>
#include <hamgam/go.h>
#include <hamgam/mutex.h>
#include <hamgam/rwmutex.h>
#include <hamgam/semaphore.h>
#include <hamgam/waitgroup.h>

#include "goroutines.h"

namespace {

struct Hamgam {
  using Mutex = hamgam::Mutex;
  using RWMutex = hamgam::RWMutex;
  using Semaphore = hamgam::Semaphore;

  class Chan {
   public:
    void send() { chan_.send(1); }
    bool recv() { return chan_.recv().has_value(); }
    void close() { chan_.close(); }

   private:
    hamgam::Chan<int> chan_ = hamgam::make_chan<int>();
  };

  template <class F>
  static void in_tasks(int workers, int tasks, const F& f) {
    bench::on_workers(workers, [&] {
      hamgam::WaitGroup all;
      for (int i = 0; i < tasks; ++i) all.go([&f, i] { f(i); });
      all.wait();
    });
  }
  static void yield() { hamgam::yield(); }
};

}  // namespace

int main(int argc, char** argv) { return bench::fairness_main<Hamgam>(argc, argv); }
