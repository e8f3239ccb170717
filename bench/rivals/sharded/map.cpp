// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// What one writes instead of Map: sixteen std::unordered_map, each under an RWMutex of ours.
#include <hamgam/rwmutex.h>

#include <array>
#include <functional>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>

#include "../../goroutines.h"
#include "../../map_cases.h"

namespace {

template <class K>
class Map {
 public:
  bool load(const K& key) {
    Shard& shard = shard_of(key);
    const std::shared_lock lock(shard.mutex);
    return shard.map.find(key) != shard.map.end();
  }
  void store(const K& key, std::int64_t value) {
    Shard& shard = shard_of(key);
    const std::lock_guard lock(shard.mutex);
    shard.map[key] = value;
  }
  void erase(const K& key) {
    Shard& shard = shard_of(key);
    const std::lock_guard lock(shard.mutex);
    shard.map.erase(key);
  }

 private:
  struct alignas(64) Shard {
    hamgam::RWMutex mutex;
    std::unordered_map<K, std::int64_t> map;
  };
  Shard& shard_of(const K& key) { return shards_[std::hash<K>{}(key)*0x9E3779B97F4A7C15U >> 60]; }

  std::array<Shard, 16> shards_;
};
const bench::MapMatrix<Map, bench::Goroutines> matrix;

}  // namespace
