// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// What a ResourceCore knows; its laws stand in resource_pool.cpp.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/random.h"
#include "hamgam/resource_pool.h"
#include "hamgam/waitgroup.h"
#include "os/clock.h"
#include "os/spin_lock.h"
#include "wait/parking_lot.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// Either a resource that was used before, which may be used until it expires, or the right to open
// one.
struct ResourceCore::Grant {
  ResourceEntry* entry = nullptr;
  Nanos expires = kForever;
};

struct ResourceCore::State {
  // Those that keep the core alive.
  [[nodiscard]] std::size_t references() const noexcept {
    return (gone ? 0 : 1) + open + waiters + (has_caretaker ? 1 : 0);
  }

  [[nodiscard]] bool may_open() const noexcept {
    return limits.max_open == 0 || open < limits.max_open;
  }

  [[nodiscard]] std::size_t max_idle() const noexcept {
    std::size_t const wanted = std::max(limits.max_idle, limits.min_idle);
    return limits.max_open == 0 ? wanted : std::min(wanted, limits.max_open);
  }

  [[nodiscard]] bool wants_more_idle() const noexcept {
    return idle < limits.min_idle && !closed && may_open();
  }

  [[nodiscard]] bool keeps_time() const noexcept {
    return limits.max_lifetime != 0 || limits.max_idle_time != 0;
  }

  // Limits may change at any time, so all is computed from the present ones.
  [[nodiscard]] Nanos expires(const ResourceEntry& entry) const noexcept {
    if (HAMGAM_LIKELY(limits.max_lifetime == 0)) {
      return kForever;
    }
    Nanos const life = limits.max_lifetime;
    Nanos const end = life - static_cast<Nanos>(static_cast<float>(life) * 0.1F * entry.haste);
    return entry.opened > kForever - end ? kForever : entry.opened + end;
  }

  [[nodiscard]] Nanos idle_until(const ResourceEntry& entry) const noexcept {
    return limits.max_idle_time == 0 || entry.returned > kForever - limits.max_idle_time
               ? kForever
               : entry.returned + limits.max_idle_time;
  }

  [[nodiscard]] Nanos due(const ResourceEntry& entry) const noexcept {
    return std::min(expires(entry), idle_until(entry));
  }

  void push_idle(ResourceEntry& entry) noexcept {
    entry.newer = nullptr;
    entry.older = newest;
    (newest != nullptr ? newest->newer : oldest) = &entry;
    newest = &entry;
    ++idle;
  }

  void take_idle(ResourceEntry& entry) noexcept {
    (entry.newer != nullptr ? entry.newer->older : newest) = entry.older;
    (entry.older != nullptr ? entry.older->newer : oldest) = entry.newer;
    --idle;
  }

  bool take_newest(Grant& grant) noexcept {
    if (newest == nullptr) {
      return false;
    }
    grant = {newest, expires(*newest)};
    take_idle(*newest);
    return true;
  }

  // A resource or capacity for who need not wait.
  bool take(Grant& grant) noexcept {
    if (take_newest(grant)) {
      return true;
    }
    if (may_open()) {
      ++open;
      return true;
    }
    return false;
  }

  // The first waiter, off the queue: the caller gives it a unit by its token and wakes it.
  Waiter* next_waiter() noexcept {
    if (waiters == 0) {
      return nullptr;
    }
    Bucket& bucket = bucket_of(this);
    bucket.lock();
    Waiter* const waiter = bucket.pop(this);
    bucket.unlock();
    waiters -= waiter != nullptr ? 1 : 0;
    return waiter;
  }

  SpinLock lock;
  bool closed = false;
  bool gone = false;  // the pool
  bool has_caretaker = false;
  bool const checks_health;
  ResourceLimits limits;
  std::size_t open = 0;
  std::size_t idle = 0;
  std::size_t waiters = 0;  // queued, about to leave with empty hands, or on a Visit
  ResourceEntry* newest = nullptr;
  ResourceEntry* oldest = nullptr;
  ResourcePoolStats counters;
  Random random{static_cast<std::uint64_t>(now())};
  WaitGroup calls;  // of the pool's functions, which its destructor waits for
  // When the caretaker looks again; 0: it will before it sleeps. Also what it sleeps on.
  Nanos looks_again = kForever;

  explicit State(bool checks) : checks_health(checks) {}
};

// Entries to be closed once the lock is free.
class ResourceCore::Batch {
 public:
  void add(ResourceEntry& entry) noexcept {
    entry.older = first_;
    first_ = &entry;
  }
  void close(ResourceCore& core) noexcept {
    while (first_ != nullptr) {
      core.close_and_give_back(std::exchange(first_, first_->older));
    }
  }
  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }

 private:
  ResourceEntry* first_ = nullptr;
};

// Gives up the lock, but first sees to it that the caretaker looks, if that is asked for.
inline void ResourceCore::unlock(bool calls_caretaker) noexcept {
  if (HAMGAM_UNLIKELY(calls_caretaker)) {
    unlock_and_call_caretaker();
  } else {
    state_->lock.unlock();
  }
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
