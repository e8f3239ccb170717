// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include <absl/base/call_once.h>
#include <absl/container/flat_hash_map.h>
#include <absl/synchronization/mutex.h>

#include "../lock_cases.h"

namespace {

struct Lock {
  absl::Mutex mutex;
  void lock() { mutex.Lock(); }
  void unlock() { mutex.Unlock(); }
  void lock_shared() { mutex.ReaderLock(); }
  void unlock_shared() { mutex.ReaderUnlock(); }
};
const bench::RWMutexCases<Lock> rwmutex;

struct Cond {
  absl::CondVar cond;
  void wait(Lock& lock) { cond.Wait(&lock.mutex); }
  void notify_one() { cond.Signal(); }
};
const bench::Case pingpong("Cond/pingpong", {1, 2}, bench::ping_pong<Lock, Cond>);

const bench::Case once("Once/done", {1}, [](int, std::int64_t n) {
  bench::in_threads(1, [n] {
    absl::once_flag flag;
    absl::call_once(flag, [] {});
    for (std::int64_t i = 0; i < n; ++i) absl::call_once(flag, [] {});
  });
});

class Map {
 public:
  std::optional<std::int64_t> load(std::int64_t key) const {
    const absl::ReaderMutexLock lock(&mutex_);
    const auto at = map_.find(key);
    return at == map_.end() ? std::nullopt : std::optional(at->second);
  }
  bool load_or_store(std::int64_t key, std::int64_t value) {
    const absl::MutexLock lock(&mutex_);
    return !map_.try_emplace(key, value).second;
  }

 private:
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<std::int64_t, std::int64_t> map_;
};
const bench::MapCases<Map> map;

}  // namespace
