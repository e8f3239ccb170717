// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// The cases of locks and maps whose workers are threads, for any library's type.
#pragma once

#include <optional>
#include <utility>

#include "threads.h"

namespace bench {

// The work of a mutex's cases; L is any type with lock() and unlock().
template <class L>
void lock_alone(int, std::int64_t n) {
  in_threads(1, [n] {
    L mutex;
    for (std::int64_t i = 0; i < n; ++i) {
      mutex.lock();
      mutex.unlock();
    }
  });
}

template <class L, int kThreadsPerWorker, bool kWork>
void contend(int workers, std::int64_t n) {
  // With one worker ten threads on one CPU, as ten goroutines on one worker.
  if (kThreadsPerWorker > 1) use_cpus(workers);
  L mutex;
  Share share(n);
  in_threads(workers * kThreadsPerWorker, [&] {
    std::uint64_t x = 1;
    while (const std::int64_t count = share.take()) {
      for (std::int64_t i = 0; i < count; ++i) {
        mutex.lock();
        mutex.unlock();
        if (kWork) x = local_work(x);
      }
    }
    keep(x);
  });
}

// A mutex's cases under the names that all share.
template <class L>
struct MutexCases {
  Case uncontended{"Mutex/uncontended", {1}, lock_alone<L>};
  Case contended{"Mutex/contended", {1, 2}, contend<L, 1, false>};
  Case slack{"Mutex/slack", {1, 2}, contend<L, 10, false>};
  Case work{"Mutex/work", {1, 2}, contend<L, 1, true>};
};

// kWriteEach: every so many times to write; 0: never. L also has lock_shared(), unlock_shared().
template <class L, int kWriteEach>
void read_write(int workers, std::int64_t n) {
  L mutex;
  Share share(n);
  in_threads(workers, [&] {
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
}

template <class L>
struct RWMutexCases {
  Case read{"RWMutex/read", {1, 2}, read_write<L, 0>};
  Case write{"RWMutex/write", {1, 2}, read_write<L, 1>};
  Case write1{"RWMutex/write1", {1, 2}, read_write<L, 100>};
  Case write10{"RWMutex/write10", {1, 2}, read_write<L, 10>};
};

// A round trip: each of two threads hands the turn to the other. L can be locked, C is its
// condition variable with wait(L&) and notify_one().
template <class L, class C>
void ping_pong(int workers, std::int64_t n) {
  use_cpus(workers);
  L mutex;
  C cond;
  int turn = 0;
  std::atomic<int> next{0};
  in_threads(2, [&] {
    const int me = next.fetch_add(1);
    for (std::int64_t i = 0; i < n; ++i) {
      mutex.lock();
      while (turn != me) cond.wait(mutex);
      turn = 1 - me;
      cond.notify_one();
      mutex.unlock();
    }
  });
}

// Of 1024 keys all but one are there. M has load(k) -> std::optional<std::int64_t> and
// load_or_store(k, v) -> bool, true: it was there.
template <class M>
void load_hits(int workers, std::int64_t n) {
  constexpr std::int64_t kHits = 1023, kMisses = 1;
  M map;
  for (std::int64_t key = 0; key < kHits; ++key) map.load_or_store(key, key);
  Share share(n);
  std::atomic<std::int64_t> loaded{0};
  in_threads(workers, [&] {
    std::int64_t key = 0, found = 0;
    while (const std::int64_t count = share.take()) {
      for (std::int64_t i = 0; i < count; ++i) {
        if (map.load(key)) ++found;
        key = (key + 1) % (kHits + kMisses);
      }
    }
    loaded += found;
  });
}

// Half of the keys are there, half are new each time.
template <class M>
void load_or_store_balanced(int workers, std::int64_t n) {
  constexpr std::int64_t kHalf = 128;
  M map;
  for (std::int64_t key = 0; key < kHalf; ++key) map.load_or_store(key, key);
  Share share(n);
  std::atomic<std::int64_t> threads{0}, loaded{0};
  in_threads(workers, [&] {
    // Each thread's new keys are its own.
    std::int64_t fresh = ++threads << 40, found = 0, turn = 0;
    while (const std::int64_t count = share.take()) {
      for (std::int64_t i = 0; i < count; ++i) {
        const std::int64_t key = turn < kHalf ? turn : ++fresh;
        if (map.load_or_store(key, i)) ++found;
        turn = (turn + 1) % (2 * kHalf);
      }
    }
    loaded += found;
  });
}

template <class M>
struct MapCases {
  Case hits{"Map/load_hits", {1, 2}, load_hits<M>};
  Case balanced{"Map/load_or_store_balanced", {1, 2}, load_or_store_balanced<M>};
};

// P has get() -> std::unique_ptr<Buffer> and put(std::unique_ptr<Buffer>).
struct Buffer {
  unsigned char bytes[64] = {};
};

template <class P>
void get_put(int workers, std::int64_t n) {
  P pool;
  Share share(n);
  in_threads(workers, [&] {
    while (const std::int64_t count = share.take()) {
      for (std::int64_t i = 0; i < count; ++i) {
        auto buffer = pool.get();
        ++buffer->bytes[0];
        pool.put(std::move(buffer));
      }
    }
  });
}

}  // namespace bench
