// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// RWMutex: one lock for `workers` goroutines, only read, only written, and 1 % and 10 % written.
#include <hamgam/rwmutex.h>

#include "goroutines.h"

namespace {

// kWriteEach: every so many times to write; 0: never.
template <int kWriteEach>
void read_write(int workers, std::int64_t n) {
  bench::on_workers(workers, [=] {
    hamgam::RWMutex mutex;
    bench::Share share(n);
    bench::in_goroutines(workers, [&] {
      int turn = kWriteEach;
      while (const std::int64_t count = share.take()) {
        for (std::int64_t i = 0; i < count; ++i) {
          if (--turn == 0) {
            turn = kWriteEach;
            mutex.lock();
            mutex.unlock();
          } else {
            mutex.lock_shared();
            mutex.unlock_shared();
          }
        }
      }
    });
  });
}

const bench::Case read("RWMutex/read", {1, 2}, read_write<0>);
const bench::Case write("RWMutex/write", {1, 2}, read_write<1>);
const bench::Case write1("RWMutex/write1", {1, 2}, read_write<100>);
const bench::Case write10("RWMutex/write10", {1, 2}, read_write<10>);

}  // namespace
