// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Pool: a cache of objects that are used again and again, such as buffers.
//
//   Pool<Buffer> buffers;                     // or Pool<Buffer>(make, reset)
//   auto buffer = buffers.get();              // one that was used before, else a new one
//   file.read_into(*buffer);
//                                             // back into the pool at the end of the scope
//
// Any object may be freed at any time while it is in the pool: one that lies there unused for two
// trim periods (of a second) is. So the pool holds no more than was in use at once of late. How
// many it holds can be limited as well (PoolOptions).
//
// From goroutines and plain threads alike. get and put never block; between goroutines of one
// worker they need no atomic read-modify-write. An object may be given back by another goroutine,
// thread or worker than the one that got it. `make`, `reset` and T's destructor are never called
// under a lock and may do anything; the destructor may run on a thread of the library's own. If
// `make` throws, get throws and nothing else happens.
//
// All leases must be back, or released, before the pool is destroyed; it destroys what it holds.
//
// Happens-before: put(x) is before the return of the get that returns x.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "hamgam/detail/config.h"
#include "hamgam/detail/fatal.h"
#include "hamgam/detail/pool_core.h"

namespace hamgam::inline HAMGAM_ABI {

struct PoolOptions {
  std::size_t max_cached = SIZE_MAX;  // objects in the pool
  std::size_t max_bytes = SIZE_MAX;   // as the `bytes` function says
};

template <class T>
class Pool {
 public:
  // An object on loan; back into its pool at the end of its scope. If `reset` throws then, the
  // object is destroyed instead. Empty if made by default, moved from or released: then * and ->
  // are the Panic "Pool: the lease is empty".
  class [[nodiscard]] Lease {
   public:
    Lease() noexcept = default;
    Lease(Lease&& other) noexcept : pool_(other.pool_), object_(std::move(other.object_)) {}
    Lease& operator=(Lease&& other) noexcept {
      if (this != &other) {
        give_back();
        pool_ = other.pool_;
        object_ = std::move(other.object_);
      }
      return *this;
    }
    ~Lease() { give_back(); }

    // The object. Of an empty lease: Panic "Pool: the lease is empty".
    T* operator->() const HAMGAM_LIFETIMEBOUND { return std::addressof(object()); }
    T& operator*() const HAMGAM_LIFETIMEBOUND { return object(); }
    // Null if it is empty.
    T* get() const noexcept HAMGAM_LIFETIMEBOUND { return object_.get(); }
    [[nodiscard]] explicit operator bool() const noexcept { return object_ != nullptr; }

    // The object is the caller's from here on and does not go back.
    [[nodiscard]] std::unique_ptr<T> release() noexcept { return std::move(object_); }

   private:
    friend class Pool;
    Lease(Pool& pool, std::unique_ptr<T> object) noexcept
        : pool_(&pool), object_(std::move(object)) {}

    T& object() const {
      if (HAMGAM_UNLIKELY(object_ == nullptr)) {
        detail::throw_panic("Pool: the lease is empty");
      }
      return *object_;
    }

    void give_back() noexcept {
      if (object_ == nullptr) {
        return;
      }
      if (HAMGAM_LIKELY(pool_->simple_)) {
        pool_->keep(std::move(object_), 0);
        return;
      }
      try {
        pool_->put(std::move(object_));
      } catch (...) {  // NOLINT(bugprone-empty-catch): put has destroyed the object
      }
    }

    Pool* pool_ = nullptr;
    std::unique_ptr<T> object_;
  };

  // Makes T{} when empty.
  Pool()
    requires std::default_initializable<T>
      : Pool([] { return std::unique_ptr<T>(new T{}); }) {}

  // Calls `make` when empty (an empty function: get gives a null Lease, as Go's Pool without New),
  // and `reset` on each object that comes back.
  explicit Pool(std::function<std::unique_ptr<T>()> make, std::function<void(T&)> reset = {},
                PoolOptions options = {})
      : Pool(std::move(make), std::move(reset), options, {}) {}

  // `bytes` says how much of max_bytes an object takes up, asked when it comes back.
  Pool(std::function<std::unique_ptr<T>()> make, std::function<void(T&)> reset, PoolOptions options,
       std::function<std::size_t(const T&)> bytes)
      : make_(std::move(make)),
        reset_(std::move(reset)),
        bytes_(std::move(bytes)),
        simple_(!reset_ && !bytes_),
        core_([](void* object) noexcept { delete static_cast<T*>(object); }, options.max_cached,
              options.max_bytes, static_cast<bool>(bytes_)) {}

  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // An object of the pool, or a new one. Does not wait.
  Lease get() HAMGAM_LIFETIMEBOUND { return Lease(*this, take()); }

  // By hand: an object that need not come back.
  [[nodiscard]] std::unique_ptr<T> take() {
    if (void* object = core_.get(); HAMGAM_LIKELY(object != nullptr)) {
      detail::tsan_acquire(object);
      return std::unique_ptr<T>(static_cast<T*>(object));
    }
    return make_ ? make_() : nullptr;
  }

  // Any object of T's, from this pool or not; null: nothing happens. If `reset` throws, so does
  // put, and the object is destroyed.
  void put(std::unique_ptr<T> object) {
    if (object == nullptr) {
      return;
    }
    if (reset_) {
      reset_(*object);
    }
    std::size_t const weight = bytes_ ? bytes_(std::as_const(*object)) : 0;
    keep(std::move(object), weight);
  }

  // Frees everything that is in the pool now; how many objects that were. Some microseconds.
  std::size_t trim() { return core_.trim(); }

 private:
  HAMGAM_INLINE void keep(std::unique_ptr<T> object, std::size_t weight) noexcept {
    T* const raw = object.release();
    detail::tsan_release(raw);
    if (HAMGAM_UNLIKELY(!core_.put(raw, weight))) {
      detail::tsan_acquire(raw);
      delete raw;
    }
  }

  std::function<std::unique_ptr<T>()> make_;
  std::function<void(T&)> reset_;
  std::function<std::size_t(const T&)> bytes_;
  bool const simple_;  // nothing to be called when an object comes back
  detail::PoolCore core_;
};

}  // namespace hamgam::inline HAMGAM_ABI
