// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Fork and join: a goroutine for each part, and a WaitGroup for them all.
#include "harness/forkjoin.h"

#include <hamgam/waitgroup.h>

#include <utility>

#include "goroutines.h"

namespace {

class Group {
 public:
  template <class F>
  void run(F&& f) {
    all_.go(std::forward<F>(f));
  }
  void wait() { all_.wait(); }

 private:
  hamgam::WaitGroup all_;
};

template <void (*program)()>
void repeat(int workers, std::int64_t n) {
  bench::on_workers(workers, [n] {
    for (std::int64_t i = 0; i < n; ++i) program();
  });
}

const bench::Case fib("ForkJoin/fib", "ms", {1, 2}, &repeat<&bench::fork_join_fib<Group>>);
const bench::Case skynet("ForkJoin/skynet", "ms", {1, 2}, &repeat<&bench::fork_join_skynet<Group>>);
const bench::Case quicksort("ForkJoin/quicksort", "ms", {1, 2},
                            &repeat<&bench::fork_join_quicksort<Group>>);
const bench::Case queens("ForkJoin/queens", "ms", {1, 2}, &repeat<&bench::fork_join_queens<Group>>);
const bench::Case matmul("ForkJoin/matmul", "ms", {1, 2}, &repeat<&bench::fork_join_matmul<Group>>);

}  // namespace
