// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// TBB's own ground: who waits for a task group runs its tasks meanwhile, on the same stack.
#include "../../harness/forkjoin.h"

#include <oneapi/tbb/task_group.h>

#include "../../harness/case.h"
#include "workers.h"

namespace {

using Group = tbb::task_group;

template <void (*program)()>
void repeat(int workers, std::int64_t n) {
  bench::in_arena(workers, [n] {
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
