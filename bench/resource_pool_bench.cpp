// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// ResourcePool: acquire a resource that is idle and give it back.
#include <hamgam/resource_pool.h>

#include "goroutines.h"

namespace {

const bench::Case acquire_release("ResourcePool/acquire_release", {1},
                                  [](int workers, std::int64_t n) {
                                    bench::on_workers(workers, [n] {
                                      hamgam::ResourcePool<int> pool([] { return 0; },
                                                                     {.max_open = 8});
                                      for (std::int64_t i = 0; i < n; ++i) {
                                        auto lease = pool.acquire();
                                        ++*lease;
                                      }
                                    });
                                  });

}  // namespace
