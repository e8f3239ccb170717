// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// What ResourcePool<T> is for all T: who gets a resource, who waits, what is closed when. Why it
// loses nothing stands in src/group/resource_pool.cpp.

#include <cstddef>
#include <cstdint>
#include <stop_token>

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI {
struct ResourcePoolStats;
}  // namespace hamgam::inline HAMGAM_ABI

namespace hamgam::inline HAMGAM_ABI::detail {

struct Waiter;

// A resource and what the pool knows of it.
struct ResourceEntry {
  ResourceEntry* newer = nullptr;  // among the idle
  ResourceEntry* older = nullptr;
  std::int64_t opened = 0;    // when
  std::int64_t returned = 0;  // when it became idle
  float haste = 0;            // how much of the last tenth of a life it does without
};

struct ResourceLimits {
  std::size_t max_open = 0;
  std::size_t max_idle = 0;
  std::size_t min_idle = 0;
  std::int64_t max_lifetime = 0;
  std::int64_t max_idle_time = 0;
};

class HAMGAM_API ResourceCore {
 public:
  ResourceCore(const ResourceCore&) = delete;
  ResourceCore& operator=(const ResourceCore&) = delete;

  // Opens what min_idle asks for, in the background. Once the object is whole.
  HAMGAM_API void warm_up() noexcept;
  // The pool is destroyed: closes it and waits until its functions are not called any more. The
  // last one that has to do with this deletes it.
  HAMGAM_API void drop() noexcept;

  HAMGAM_API ResourceEntry* acquire();
  // Null: not at once, not in time, not before stop was requested.
  HAMGAM_API ResourceEntry* try_acquire();
  HAMGAM_API ResourceEntry* acquire_deadline(std::int64_t deadline);
  HAMGAM_API ResourceEntry* acquire_stoppable(std::stop_token token);

  // Keeps the core alive, without a unit of it.
  class Visit {
   public:
    explicit Visit(ResourceCore& core) noexcept : core_(core) { core_.begin_visit(); }
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;
    ~Visit() { core_.end_visit(); }

   private:
    ResourceCore& core_;
  };

  HAMGAM_API void release(ResourceEntry* entry) noexcept;
  HAMGAM_API void discard(ResourceEntry* entry) noexcept;

  [[nodiscard]] HAMGAM_API ResourcePoolStats stats() const noexcept;
  HAMGAM_API void close() noexcept;
  HAMGAM_API void set_limit(std::size_t ResourceLimits::*limit, std::size_t value) noexcept;
  HAMGAM_API void set_limit(std::int64_t ResourceLimits::*limit, std::int64_t value) noexcept;

 protected:
  HAMGAM_API ResourceCore(const ResourceLimits& limits, bool checks_health);
  HAMGAM_API virtual ~ResourceCore();

 private:
  virtual ResourceEntry* open_entry() = 0;
  virtual bool entry_healthy(ResourceEntry& entry) = 0;
  virtual void close_entry(ResourceEntry* entry) noexcept = 0;

  struct Grant;
  struct State;
  class Batch;

  HAMGAM_API void begin_visit() noexcept;
  HAMGAM_API void end_visit() noexcept;
  ResourceEntry* take_or_wait(Waiter& me);
  ResourceEntry* finish(Grant grant);
  void give_capacity_back() noexcept;
  void close_and_give_back(ResourceEntry* entry) noexcept;
  void add_idle(ResourceEntry* entry) noexcept;
  template <class Change>
  void change_limits(Change change) noexcept;

  void unlock(bool calls_caretaker) noexcept;
  void leave(bool calls_caretaker = false) noexcept;
  void unlock_and_call_caretaker() noexcept;
  void take_care() noexcept;
  void end_care() noexcept;
  std::int64_t keep_house(Batch& batch, std::int64_t time) noexcept;

  State* const state_;
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
