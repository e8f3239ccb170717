// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Pool: get an object and put it back.
#include <hamgam/pool.h>

#include "goroutines.h"

namespace {

struct Buffer {
  unsigned char bytes[64];
};

const bench::Case get_put("Pool/get_put", {1, 2}, [](int workers, std::int64_t n) {
  bench::on_workers(workers, [=] {
    hamgam::Pool<Buffer> pool;
    bench::Share share(n);
    bench::in_goroutines(workers, [&] {
      while (const std::int64_t count = share.take()) {
        for (std::int64_t i = 0; i < count; ++i) {
          auto buffer = pool.get();
          ++buffer->bytes[0];
        }
      }
    });
  });
});

}  // namespace
