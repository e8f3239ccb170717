// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// What one writes instead of Map: std::unordered_map under our Mutex.
#include <hamgam/guarded.h>

#include <unordered_map>

#include "../../goroutines.h"
#include "../../map_cases.h"

namespace {

template <class K>
class Map {
 public:
  bool load(const K& key) {
    return map_.with([&](auto& map) { return map.find(key) != map.end(); });
  }
  void store(const K& key, std::int64_t value) {
    map_.with([&](auto& map) { map[key] = value; });
  }
  void erase(const K& key) {
    map_.with([&](auto& map) { map.erase(key); });
  }

 private:
  hamgam::Guarded<std::unordered_map<K, std::int64_t>> map_;
};
const bench::MapMatrix<Map, bench::Goroutines> matrix;

}  // namespace
