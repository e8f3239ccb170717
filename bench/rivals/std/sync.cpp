// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include <condition_variable>
#include <memory>
#include <mutex>
#include <semaphore>
#include <shared_mutex>
#include <unordered_map>
#include <vector>

#include "../../map_cases.h"
#include "../lock_cases.h"

namespace {

const bench::RWMutexCases<std::shared_mutex> rwmutex;

// std::condition_variable waits on a unique_lock only.
struct Cond {
  std::condition_variable cond;
  void wait(std::mutex& mutex) {
    std::unique_lock lock(mutex, std::adopt_lock);
    cond.wait(lock);
    lock.release();
  }
  void notify_one() { cond.notify_one(); }
};
const bench::Case pingpong("Cond/pingpong", {1, 2}, bench::ping_pong<std::mutex, Cond>);

const bench::Case once("Once/done", {1}, [](int, std::int64_t n) {
  bench::in_threads(1, [n] {
    std::once_flag flag;
    std::call_once(flag, [] {});
    for (std::int64_t i = 0; i < n; ++i) std::call_once(flag, [] {});
  });
});

const bench::Case semaphore("Semaphore/uncontended", {1}, [](int, std::int64_t n) {
  bench::in_threads(1, [n] {
    std::counting_semaphore<> semaphore(1);
    for (std::int64_t i = 0; i < n; ++i) {
      semaphore.acquire();
      semaphore.release();
    }
  });
});

class Map {
 public:
  std::optional<std::int64_t> load(std::int64_t key) const {
    const std::shared_lock lock(mutex_);
    const auto at = map_.find(key);
    return at == map_.end() ? std::nullopt : std::optional(at->second);
  }
  bool load_or_store(std::int64_t key, std::int64_t value) {
    const std::unique_lock lock(mutex_);
    return !map_.try_emplace(key, value).second;
  }

 private:
  mutable std::shared_mutex mutex_;
  std::unordered_map<std::int64_t, std::int64_t> map_;
};
const bench::MapCases<Map> map;

template <class K>
class Matrix {
 public:
  bool load(const K& key) const {
    const std::lock_guard lock(mutex_);
    return map_.find(key) != map_.end();
  }
  void store(const K& key, std::int64_t value) {
    const std::lock_guard lock(mutex_);
    map_[key] = value;
  }
  void erase(const K& key) {
    const std::lock_guard lock(mutex_);
    map_.erase(key);
  }

 private:
  mutable std::mutex mutex_;
  std::unordered_map<K, std::int64_t> map_;
};
const bench::MapMatrix<Matrix, bench::Threads> matrix;

class Pool {
 public:
  std::unique_ptr<bench::Buffer> get() {
    {
      const std::lock_guard lock(mutex_);
      if (!free_.empty()) {
        auto buffer = std::move(free_.back());
        free_.pop_back();
        return buffer;
      }
    }
    return std::make_unique<bench::Buffer>();
  }
  void put(std::unique_ptr<bench::Buffer> buffer) {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(buffer));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<bench::Buffer>> free_;
};
const bench::Case pool("Pool/get_put", {1, 2}, bench::get_put<Pool>);

}  // namespace
