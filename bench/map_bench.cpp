// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Map: load where nearly all keys are there; load_or_store where half are there and half are new;
// and the cases of map_cases.h.
#include <hamgam/map.h>

#include <atomic>

#include "goroutines.h"
#include "map_cases.h"

namespace {

constexpr std::int64_t kHits = 1023;
constexpr std::int64_t kMisses = 1;
constexpr std::int64_t kHalf = 128;

using Numbers = hamgam::Map<std::int64_t, std::int64_t>;

// Of 1024 keys all but one are there.
const bench::Case load_hits("Map/load_hits", {1, 2}, [](int workers, std::int64_t n) {
  bench::on_workers(workers, [=] {
    Numbers map;
    for (std::int64_t key = 0; key < kHits; ++key) map.store(key, key);
    bench::Share share(n);
    std::atomic<std::int64_t> loaded = 0;
    bench::in_goroutines(workers, [&] {
      std::int64_t key = 0;
      std::int64_t found = 0;
      while (const std::int64_t count = share.take()) {
        for (std::int64_t i = 0; i < count; ++i) {
          if (map.load(key)) ++found;
          key = (key + 1) % (kHits + kMisses);
        }
      }
      loaded += found;
    });
  });
});

// Half of the keys are there, half are new each time.
const bench::Case balanced("Map/load_or_store_balanced", {1, 2}, [](int workers, std::int64_t n) {
  bench::on_workers(workers, [=] {
    Numbers map;
    for (std::int64_t key = 0; key < kHalf; ++key) map.store(key, key);
    bench::Share share(n);
    std::atomic<std::int64_t> goroutines = 0;
    std::atomic<std::int64_t> loaded = 0;
    bench::in_goroutines(workers, [&] {
      std::int64_t fresh = ++goroutines << 40;  // each goroutine's new keys are its own
      std::int64_t found = 0;
      std::int64_t turn = 0;
      while (const std::int64_t count = share.take()) {
        for (std::int64_t i = 0; i < count; ++i) {
          const std::int64_t key = turn < kHalf ? turn : ++fresh;
          if (map.load_or_store(key, i).second) ++found;
          turn = (turn + 1) % (2 * kHalf);
        }
      }
      loaded += found;
    });
  });
});

template <class K>
class Map {
 public:
  bool load(const K& key) const { return map_.load(key).has_value(); }
  void store(const K& key, std::int64_t value) { map_.store(key, value); }
  void erase(const K& key) { map_.erase(key); }

 private:
  hamgam::Map<K, std::int64_t> map_;
};
const bench::MapMatrix<Map, bench::Goroutines> matrix;

}  // namespace
