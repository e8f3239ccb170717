// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Guarded<T>: data kept together with the lock that protects it, reachable only under that lock.
//
//   Guarded<std::map<std::string, int>> words;
//   words.with([](auto& map) { ++map["go"]; });
//   auto locked = words.lock();
//   for (auto& [word, count] : locked) { ... }      // or words.lock() in the for itself
//
// Happens-before: that of the lock M.

#include <chrono>
#include <concepts>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <utility>

#include "hamgam/detail/config.h"
#include "hamgam/mutex.h"

namespace hamgam::inline HAMGAM_ABI {

namespace detail {

template <class M>
concept SharedLockable = requires(M& m) {
  m.lock_shared();
  m.unlock_shared();
};

struct ExclusiveAccess {
  static void lock(auto& m) HAMGAM_NO_THREAD_SAFETY_ANALYSIS { m.lock(); }
  static void unlock(auto& m) HAMGAM_NO_THREAD_SAFETY_ANALYSIS { m.unlock(); }
};

struct SharedAccess {
  static void lock(auto& m) HAMGAM_NO_THREAD_SAFETY_ANALYSIS { m.lock_shared(); }
  static void unlock(auto& m) HAMGAM_NO_THREAD_SAFETY_ANALYSIS { m.unlock_shared(); }
};

template <class T, class M, class Access>
class LockedAccess;

// For Cond, which waits on the mutex itself.
struct LockedMutex {
  template <class T, class M>
  static M* of(const LockedAccess<T, M, ExclusiveAccess>& locked) noexcept {
    return locked.mutex_;
  }
};

// The right to touch what is guarded, until the end of its scope. Movable; a BasicLockable, so that
// a Cond can wait on it (unlock and lock again; in between the data is out of bounds).
template <class T, class M, class Access>
class [[nodiscard]] LockedAccess {
 public:
  LockedAccess(T& value, M& mutex) noexcept
      : value_(std::addressof(value)), mutex_(std::addressof(mutex)), held_(true) {}
  LockedAccess(LockedAccess&& other) noexcept
      : value_(other.value_), mutex_(other.mutex_), held_(std::exchange(other.held_, false)) {}
  LockedAccess& operator=(LockedAccess&& other) noexcept {
    if (this != &other) {
      release();
      value_ = other.value_;
      mutex_ = other.mutex_;
      held_ = std::exchange(other.held_, false);
    }
    return *this;
  }
  ~LockedAccess() { release(); }

  // What is guarded.
  T* operator->() const noexcept HAMGAM_LIFETIMEBOUND { return value_; }
  T& operator*() const noexcept HAMGAM_LIFETIMEBOUND { return *value_; }
  T& get() const noexcept HAMGAM_LIFETIMEBOUND { return *value_; }

  // So that `for (auto& x : guarded.lock())` holds the lock while it runs; `*guarded.lock()` would
  // not.
  auto begin() const
    requires requires(T& t) { std::begin(t); }
  {
    return std::begin(*value_);
  }
  auto end() const
    requires requires(T& t) { std::end(t); }
  {
    return std::end(*value_);
  }

  // For a Cond, and where it is to be unlocked for a while.
  void lock() HAMGAM_NO_THREAD_SAFETY_ANALYSIS {
    Access::lock(*mutex_);
    held_ = true;
  }
  void unlock() HAMGAM_NO_THREAD_SAFETY_ANALYSIS {
    held_ = false;
    Access::unlock(*mutex_);
  }

 private:
  friend LockedMutex;

  void release() noexcept HAMGAM_NO_THREAD_SAFETY_ANALYSIS {
    if (held_) {
      unlock();
    }
  }

  T* value_;
  M* mutex_;
  bool held_;
};

}  // namespace detail

template <class T, class M = Mutex>
class Guarded {
 public:
  // What lock() and lock_shared() return.
  using Locked = detail::LockedAccess<T, M, detail::ExclusiveAccess>;
  using LockedShared = detail::LockedAccess<const T, M, detail::SharedAccess>;

  // Builds T in place.
  template <class... Args>
    requires std::constructible_from<T, Args...>
  explicit Guarded(Args&&... args) : value_(std::forward<Args>(args)...) {}
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  // Blocks until the lock is ours.
  Locked lock() HAMGAM_LIFETIMEBOUND HAMGAM_NO_THREAD_SAFETY_ANALYSIS {
    mutex_.lock();
    return Locked(value_, mutex_);
  }

  // Nothing if the lock was not to be had: at once, in time, or before stop was requested.
  // std::bad_alloc if there is no memory for a timer.
  [[nodiscard]] std::optional<Locked> try_lock() HAMGAM_NO_THREAD_SAFETY_ANALYSIS {
    return locked_if(mutex_.try_lock());
  }
  template <class Rep, class Period>
  [[nodiscard]] std::optional<Locked> try_lock_for(const std::chrono::duration<Rep, Period>& d)
      HAMGAM_NO_THREAD_SAFETY_ANALYSIS {
    return locked_if(mutex_.try_lock_for(d));
  }
  template <class C, class D>
  [[nodiscard]] std::optional<Locked> try_lock_until(const std::chrono::time_point<C, D>& t)
      HAMGAM_NO_THREAD_SAFETY_ANALYSIS {
    return locked_if(mutex_.try_lock_until(t));
  }
  [[nodiscard]] std::optional<Locked> try_lock(std::stop_token token)
      HAMGAM_NO_THREAD_SAFETY_ANALYSIS {
    return locked_if(mutex_.try_lock(std::move(token)));
  }

  // Shared, and therefore const, where M can be locked so.
  HAMGAM_NO_THREAD_SAFETY_ANALYSIS LockedShared lock_shared() const HAMGAM_LIFETIMEBOUND
    requires detail::SharedLockable<M>
  {
    mutex_.lock_shared();
    return LockedShared(value_, mutex_);
  }
  LockedShared lock_shared() const  // a Mutex can't be shared: say Guarded<T, RWMutex>
    requires(!detail::SharedLockable<M>)
  = delete;

  // Runs f(T&) under the lock and returns its result.
  template <class F>
    requires std::invocable<F, T&>
  decltype(auto) with(F&& f) {
    Locked const locked = lock();
    return std::invoke(std::forward<F>(f), value_);
  }

  // Runs f(const T&) under the shared lock and returns its result.
  template <class F>
    requires std::invocable<F, const T&> && detail::SharedLockable<M>
  decltype(auto) with_shared(F&& f) const {
    LockedShared const locked = lock_shared();
    return std::invoke(std::forward<F>(f), value_);
  }

 private:
  std::optional<Locked> locked_if(bool locked) {
    return locked ? std::optional<Locked>(std::in_place, value_, mutex_) : std::nullopt;
  }

  mutable M mutex_;
  T value_;
};

}  // namespace hamgam::inline HAMGAM_ABI
