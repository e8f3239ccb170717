// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Once: something is done once, however many ask for it, and all of them see it done. once_func and
// once_value wrap a function so.
//
//   Once once;
//   once.call([] { load_tables(); });
//
//   auto config = once_value([] { return read_config("app.conf"); });
//   config().port ...
//
// From goroutines and plain threads alike. 8 bytes; the object may not be destroyed while a call is
// under way.
//
// Happens-before: the return of the one f is before the return of each call(), and of a done() that
// is true.

#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

#include "hamgam/detail/atomic.h"
#include "hamgam/detail/config.h"
#include "hamgam/detail/failure.h"
#include "hamgam/detail/fatal.h"
#include "hamgam/detail/goroutine.h"
#include "hamgam/go.h"

namespace hamgam::inline HAMGAM_ABI {

class Once {
 public:
  constexpr Once() noexcept = default;
  Once(const Once&) = delete;
  Once& operator=(const Once&) = delete;

  // The first call runs f(args...); the others wait until it has returned and run nothing. If f
  // throws, the exception goes to that caller and the next one tries again; goexit() in f counts as
  // done. From inside f: fatal error "sync: Once.call called from inside its own function". Once
  // done, one load.
  template <class F, class... Args>
    requires std::invocable<F, Args...>
  void call(F&& f, Args&&... args) {
    if (HAMGAM_UNLIKELY(!done()) && begin()) {
      run(std::forward<F>(f), std::forward<Args>(args)...);
    }
    detail::tsan_acquire(this);
  }

  // Whether f has returned. Does not wait.
  [[nodiscard]] bool done() const noexcept {
    // [once.1] acquire, pairs with [once.2], [once.3]
    bool const done = state_.load(detail::kAcquire) == kDone;
#if HAMGAM_TSAN_USER
    if (done) {
      detail::tsan_acquire(this);
    }
#endif
    return done;
  }

 private:
  // state_ (64 bits)      meaning                             changed by
  //   0                   not done, nobody is at it           the caller that begins, by CAS
  //   kParked             the same, and others sleep, one     as 0
  //                       of whom has just been woken
  //   kDone               done; never changes again
  //   runner              this goroutine or thread runs f     the runner, by CAS
  //   runner | kParked    and others sleep, or have           the runner, under the bucket's lock
  // A runner is known by an address that has the low bits free.
  static constexpr std::uintptr_t kDone = 1;
  static constexpr std::uintptr_t kParked = 2;

  template <class F, class... Args>
  HAMGAM_COLD void run(F&& f, Args&&... args) {
    // No catch-all: an exception that nobody handles is to be found so with its whole stack
    // standing.
    struct End {
      Once* once;
      std::uintptr_t state = 0;
      ~End() { once->end(state); }
    } guard{this};
    try {
      std::invoke(std::forward<F>(f), std::forward<Args>(args)...);
    } catch (const detail::GoexitSignal&) {
      guard.state = kDone;
      throw;
    }
    guard.state = kDone;
  }

  // True: f is the caller's to run, and then end(). False: done.
  HAMGAM_API bool begin() noexcept;
  HAMGAM_API void end(std::uintptr_t state) noexcept;

  detail::atomic<std::uintptr_t> state_{0};
};

namespace detail {

struct NoValue {};

// A function and what became of its one call. The function is destroyed once it has been called.
template <class F, class R>
class OnceState {
 public:
  explicit OnceState(F&& f) : f_(std::move(f)) {}
  explicit OnceState(const F& f) : f_(f) {}
  ~OnceState() {
    if (returned_) {
      value_.~R();
    }
  }
  OnceState(const OnceState&) = delete;
  OnceState& operator=(const OnceState&) = delete;

  // f may destroy the callable that called it, the last one perhaps: `state` is in that.
  static OnceState& called(const std::shared_ptr<OnceState>& state) {
    OnceState& self = *state;
    std::shared_ptr<OnceState> held;
    if (HAMGAM_UNLIKELY(!self.once_.done())) {
      held = state;
      self.once_.call([&self] { self.run(); });
    }
    if (HAMGAM_UNLIKELY(!self.returned_)) {
      self.fail();
    }
    return self;
  }

  [[nodiscard]] const R& value() const noexcept { return value_; }

 private:
  void run() {
    struct Forget {
      std::optional<F>& f;
      ~Forget() { f.reset(); }
    } const forget{f_};
    try {
      if constexpr (std::is_same_v<R, NoValue>) {
        std::invoke(std::move(*f_));
      } else {
        ::new (static_cast<void*>(std::addressof(value_))) R(std::invoke(std::move(*f_)));
      }
      returned_ = true;
    } catch (const GoexitSignal&) {
      throw;
    }
    HAMGAM_CATCH_TRACE
    catch (...) {
      failure_ = current_failure();
    }
  }

  [[noreturn]] HAMGAM_COLD void fail() {
    if (failure_.exception != nullptr) {
      rethrow(failure_);
    }
    throw_panic("sync: the function of a once_func or once_value called goexit");
  }

  Once once_;
  bool returned_ = false;
  union {
    R value_;  // if it returned; in place, for R need not be movable
  };
  std::optional<F> f_;
  Failure failure_;
};

template <class F>
class OnceFunc {
 public:
  explicit OnceFunc(std::shared_ptr<OnceState<F, NoValue>> state) noexcept
      : state_(std::move(state)) {}
  void operator()() const { State::called(state_); }

 private:
  using State = OnceState<F, NoValue>;
  std::shared_ptr<State> state_;
};

template <class F, class R>
class OnceValue {
 public:
  explicit OnceValue(std::shared_ptr<OnceState<F, R>> state) noexcept : state_(std::move(state)) {}
  const R& operator()() const HAMGAM_LIFETIMEBOUND { return State::called(state_).value(); }

 private:
  using State = OnceState<F, R>;
  std::shared_ptr<State> state_;
};

}  // namespace detail

// A callable that runs f on its first call; all calls return once f has. Copies share the one call.
// An exception from f is kept and rethrown to every caller; after a goexit() in f, the later calls
// are a Panic. f is destroyed after it was called.
template <class F>
  requires std::invocable<std::decay_t<F>>
[[nodiscard]] auto once_func(F&& f) {
  using State = detail::OnceState<std::decay_t<F>, detail::NoValue>;
  return detail::OnceFunc<std::decay_t<F>>(std::make_shared<State>(std::forward<F>(f)));
}

// The same for an f with a result: the callable returns a reference to it, which lives as long as
// any copy of the callable.
template <class F>
  requires std::invocable<std::decay_t<F>> &&
           (!std::is_void_v<std::invoke_result_t<std::decay_t<F>>>)
[[nodiscard]] auto once_value(F&& f) {
  using Function = std::decay_t<F>;
  using Value = std::decay_t<std::invoke_result_t<Function>>;
  using State = detail::OnceState<Function, Value>;
  return detail::OnceValue<Function, Value>(std::make_shared<State>(std::forward<F>(f)));
}

}  // namespace hamgam::inline HAMGAM_ABI
