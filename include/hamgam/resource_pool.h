// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// ResourcePool: a bounded pool of things that are dear to open, such as connections to a database.
//
//   ResourcePool<Connection> pool([] { return Connection("db:5432"); }, {.max_open = 8});
//   auto connection = pool.acquire();      // waits while all eight are in use
//   connection->execute(...);              // connection.discard() if it turned out to be broken
//                                          // back into the pool at the end of the scope
//
// Waiters are served in the order in which they came, whoever they are: goroutines park, threads
// sleep. Of the idle resources the one that was used last is taken first, so that surplus ones can
// grow old. A resource that was used before is checked (`healthy`, its age) when it is acquired,
// and replaced if it is no good. `open`, `healthy` and T's destructor are called outside of any
// lock and may block (wrap what blocks the thread in blocking()). What they throw comes out of
// acquire, and no capacity is lost.
//
// After close(), or from the start of the destructor, acquire throws std::system_error
// (std::errc::operation_canceled), also those that wait; the destructor waits until none of these
// calls `open` or `healthy` any more. Leases may outlive both: what they hold is closed when they
// give it back. The only calls that may be under way when the pool is destroyed are acquire,
// acquire_for and acquire_until that wait by then: they throw, or give up as ever. Any other must
// have returned before (also an acquire that does not wait but calls `open` or `healthy`), and none
// may begin any more.
//
// What grows too old, and what min_idle asks for, a goroutine of the pool's own sees to. What open
// throws there is dropped, and it is tried again after a second; no acquire waits for that. So a
// static pool with a min_idle starts the first goroutine: see go.h about the exit.
//
// Happens-before: the return of a resource to the pool is before the return of the acquire that
// gets it next. A request to stop is before the return of the acquire that it ends. Calls of `open`
// are in no order, also if only one may be open.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <utility>

#include "hamgam/detail/atomic.h"
#include "hamgam/detail/config.h"
#include "hamgam/detail/deadline.h"
#include "hamgam/detail/fatal.h"
#include "hamgam/detail/resource_core.h"

namespace hamgam::inline HAMGAM_ABI {

// How many resources there may be, and for how long.
struct ResourcePoolOptions {
  std::size_t max_open = 0;  // in use, idle and being opened; 0: no limit
  std::size_t max_idle = 2;  // 0: none is kept; never more than max_open, nor less than min_idle
  std::size_t min_idle = 0;  // kept open in the background, as far as max_open allows
  detail::AnyDuration max_lifetime{};   // since it was opened, up to a tenth less; 0: no limit
  detail::AnyDuration max_idle_time{};  // 0: no limit
};

// How many there are now, and what has happened since the pool was made.
struct ResourcePoolStats {
  std::size_t max_open = 0;
  std::size_t open = 0;  // in_use + idle
  std::size_t in_use = 0;
  std::size_t idle = 0;
  std::uint64_t wait_count = 0;              // acquires that had to wait
  std::chrono::nanoseconds wait_duration{};  // all of them together
  std::uint64_t max_idle_closed = 0;         // closed because enough were idle
  std::uint64_t max_idle_time_closed = 0;
  std::uint64_t max_lifetime_closed = 0;
};

template <class T>
class ResourcePool {
  struct Entry : detail::ResourceEntry {
    explicit Entry(const std::function<T()>& open) : value(open()) {}
    T value;
  };

 public:
  // A resource on loan; back into its pool at the end of its scope. Empty if made by default, moved
  // from or discarded: then * and -> are the Panic "ResourcePool: the lease is empty".
  class [[nodiscard]] Lease {
   public:
    Lease() noexcept = default;
    Lease(Lease&& other) noexcept
        : core_(other.core_), entry_(std::exchange(other.entry_, nullptr)) {}
    Lease& operator=(Lease&& other) noexcept {
      if (this != &other) {
        give_back();
        core_ = other.core_;
        entry_ = std::exchange(other.entry_, nullptr);
      }
      return *this;
    }
    ~Lease() { give_back(); }

    // The resource. Of an empty lease: Panic "ResourcePool: the lease is empty".
    T* operator->() const HAMGAM_LIFETIMEBOUND { return std::addressof(entry().value); }
    T& operator*() const HAMGAM_LIFETIMEBOUND { return entry().value; }
    // Null if it is empty.
    T* get() const noexcept HAMGAM_LIFETIMEBOUND {
      return entry_ != nullptr ? std::addressof(static_cast<Entry*>(entry_)->value) : nullptr;
    }
    [[nodiscard]] explicit operator bool() const noexcept { return entry_ != nullptr; }

    // Closes the resource, which is of no more use; another may be opened in its place.
    void discard() noexcept {
      if (auto* entry = std::exchange(entry_, nullptr)) {
        core_->discard(entry);
      }
    }

   private:
    friend class ResourcePool;
    Lease(detail::ResourceCore& core, detail::ResourceEntry* entry) noexcept
        : core_(&core), entry_(entry) {}

    Entry& entry() const {
      if (HAMGAM_UNLIKELY(entry_ == nullptr)) {
        detail::throw_panic("ResourcePool: the lease is empty");
      }
      return *static_cast<Entry*>(entry_);
    }

    void give_back() noexcept {
      if (auto* entry = std::exchange(entry_, nullptr)) {
        core_->release(entry);
      }
    }

    detail::ResourceCore* core_ = nullptr;
    detail::ResourceEntry* entry_ = nullptr;
  };

  // `healthy`, if given, is asked before a resource is used again.
  explicit ResourcePool(std::function<T()> open, ResourcePoolOptions options = {},
                        std::function<bool(T&)> healthy = {})
      : core_(new Core(std::move(open), limits_of(options), std::move(healthy))) {
    core_->warm_up();
  }
  ~ResourcePool() { core_->drop(); }
  ResourcePool(const ResourcePool&) = delete;
  ResourcePool& operator=(const ResourcePool&) = delete;

  // Waits until a resource is free or may be opened.
  Lease acquire() {
    Core& core = *core_;  // after a wait the pool may be gone, here and below
    return Lease(core, core.acquire());
  }

  // Nothing if it would have to wait: at all, too long, or when stop is requested. std::bad_alloc
  // if there is no memory for a timer.
  [[nodiscard]] std::optional<Lease> try_acquire() { return lease(*core_, core_->try_acquire()); }
  template <class Rep, class Period>
  [[nodiscard]] std::optional<Lease> acquire_for(const std::chrono::duration<Rep, Period>& d) {
    Core& core = *core_;
    return lease(core, core.acquire_deadline(detail::deadline_after(d)));
  }
  template <class C, class D>
  [[nodiscard]] std::optional<Lease> acquire_until(const std::chrono::time_point<C, D>& t) {
    Core& core = *core_;
    typename Core::Visit const visit(core);  // between two attempts, too
    detail::ResourceEntry* entry = nullptr;
    (void)detail::attempt_until(t, [&core, &entry](std::int64_t deadline) {
      entry = core.acquire_deadline(deadline);
      return entry != nullptr;
    });
    return lease(core, entry);
  }
  [[nodiscard]] std::optional<Lease> acquire(std::stop_token token) {
    Core& core = *core_;
    return lease(core, core.acquire_stoppable(std::move(token)));
  }

  // A snapshot.
  [[nodiscard]] ResourcePoolStats stats() const noexcept { return core_->stats(); }

  // Closes what is idle, refuses and wakes who waits. May be called again.
  void close() noexcept { core_->close(); }

  // As in the options, also for what is open already: its life counts from when it was opened, its
  // idle time from when it came back, or from the first call that sets a limit of time. What is
  // idle and too much is closed at once, what is idle and too old soon, what is in use when it
  // comes back.
  void set_max_open(std::size_t n) noexcept { core_->set_limit(&Limits::max_open, n); }
  void set_max_idle(std::size_t n) noexcept { core_->set_limit(&Limits::max_idle, n); }
  void set_min_idle(std::size_t n) noexcept { core_->set_limit(&Limits::min_idle, n); }
  template <class Rep, class Period>
  void set_max_lifetime(const std::chrono::duration<Rep, Period>& d) noexcept {
    core_->set_limit(&Limits::max_lifetime, detail::saturated_nanos(d));
  }
  template <class Rep, class Period>
  void set_max_idle_time(const std::chrono::duration<Rep, Period>& d) noexcept {
    core_->set_limit(&Limits::max_idle_time, detail::saturated_nanos(d));
  }

 private:
  using Limits = detail::ResourceLimits;

  class Core final : public detail::ResourceCore {
   public:
    Core(std::function<T()> open, const detail::ResourceLimits& limits,
         std::function<bool(T&)> healthy)
        : ResourceCore(limits, static_cast<bool>(healthy)),
          open_(std::move(open)),
          healthy_(std::move(healthy)) {}

   private:
    detail::ResourceEntry* open_entry() override { return new Entry(open_); }
    bool entry_healthy(detail::ResourceEntry& entry) override {
      return healthy_(static_cast<Entry&>(entry).value);
    }
    void close_entry(detail::ResourceEntry* entry) noexcept override {
      delete static_cast<Entry*>(entry);
    }

    std::function<T()> const open_;
    std::function<bool(T&)> const healthy_;
  };

  static detail::ResourceLimits limits_of(const ResourcePoolOptions& options) noexcept {
    return {options.max_open, options.max_idle, options.min_idle, options.max_lifetime.nanos(),
            options.max_idle_time.nanos()};
  }

  static std::optional<Lease> lease(Core& core, detail::ResourceEntry* entry) noexcept {
    return entry != nullptr ? std::optional<Lease>(Lease(core, entry)) : std::nullopt;
  }

  detail::unseen<Core*> const core_;  // whoever waits may be overtaken by the destructor
};

}  // namespace hamgam::inline HAMGAM_ABI
