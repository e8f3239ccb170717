// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include <oneapi/tbb/collaborative_call_once.h>
#include <oneapi/tbb/concurrent_hash_map.h>
#include <oneapi/tbb/concurrent_queue.h>
#include <oneapi/tbb/rw_mutex.h>

#include <memory>

#include "../../map_cases.h"
#include "../lock_cases.h"

namespace {

const bench::RWMutexCases<tbb::rw_mutex> rwmutex;

const bench::Case once("Once/done", {1}, [](int, std::int64_t n) {
  bench::in_threads(1, [n] {
    tbb::collaborative_once_flag flag;
    tbb::collaborative_call_once(flag, [] {});
    for (std::int64_t i = 0; i < n; ++i) tbb::collaborative_call_once(flag, [] {});
  });
});

class Map {
  using Table = tbb::concurrent_hash_map<std::int64_t, std::int64_t>;

 public:
  std::optional<std::int64_t> load(std::int64_t key) const {
    Table::const_accessor at;
    return map_.find(at, key) ? std::optional(at->second) : std::nullopt;
  }
  bool load_or_store(std::int64_t key, std::int64_t value) {
    return !map_.insert(Table::value_type(key, value));
  }

 private:
  Table map_;
};
const bench::MapCases<Map> map;

template <class K>
class Matrix {
  using Table = tbb::concurrent_hash_map<K, std::int64_t>;

 public:
  bool load(const K& key) const {
    typename Table::const_accessor at;
    return map_.find(at, key);
  }
  void store(const K& key, std::int64_t value) {
    typename Table::accessor at;
    if (!map_.insert(at, typename Table::value_type(key, value))) at->second = value;
  }
  void erase(const K& key) { map_.erase(key); }

 private:
  Table map_;
};
const bench::MapMatrix<Matrix, bench::Threads> matrix;

class Pool {
 public:
  std::unique_ptr<bench::Buffer> get() {
    std::unique_ptr<bench::Buffer> buffer;
    return free_.try_pop(buffer) ? std::move(buffer) : std::make_unique<bench::Buffer>();
  }
  void put(std::unique_ptr<bench::Buffer> buffer) { free_.push(std::move(buffer)); }

 private:
  tbb::concurrent_queue<std::unique_ptr<bench::Buffer>> free_;
};
const bench::Case pool("Pool/get_put", {1, 2}, bench::get_put<Pool>);

}  // namespace
