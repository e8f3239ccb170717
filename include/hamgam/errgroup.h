// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// ErrGroup: goroutines that work on parts of one task. The first that fails cancels the rest.
//
//   ErrGroup group(ctx);
//   group.set_limit(8);
//   for (auto& url : urls) group.go([&, ctx = group.context()] { fetch(ctx, url); });
//   group.wait();  // throws what the first one threw
//
// From goroutines and plain threads alike. An f returns nothing, or a std::error_code that is 0 if
// all went well. The first exception that escapes an f, or the first other code, as a
// std::system_error, is kept and cancels context(), as its cause; later ones are dropped. wait()
// cancels context() too. The destructor cancels context() and waits; an exception that no wait()
// threw is a panic there, unless it only says that this cancellation was noticed. Such a panic, and
// that of one which comes out of wait() and is caught nowhere, also shows the stack of the throw.
//
// Each f, with its arguments and what it captured, is destroyed when it has ended, and before
// wait() can return. Happens-before: go(f) is before the start of f; the end of each f is before
// the return of wait(), and, with a limit, before the go() or try_go() that gets a place after
// that.

#include <cstdint>
#include <exception>
#include <system_error>
#include <type_traits>
#include <utility>

#include "hamgam/context.h"
#include "hamgam/detail/atomic.h"
#include "hamgam/detail/config.h"
#include "hamgam/detail/failure.h"
#include "hamgam/go.h"
#include "hamgam/waitgroup.h"

namespace hamgam::inline HAMGAM_ABI {

namespace detail {

template <class F, class... Args>
using GroupResult =
    std::remove_cvref_t<std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>>;

}  // namespace detail

class ErrGroup {
 public:
  // Throw std::bad_alloc.
  ErrGroup() : ErrGroup(Context::background()) {}
  explicit ErrGroup(Context parent) : derived_(with_cancel(std::move(parent))) {}
  HAMGAM_API ~ErrGroup();
  ErrGroup(const ErrGroup&) = delete;
  ErrGroup& operator=(const ErrGroup&) = delete;

  // Derived from the constructor's. Cancelled by the first exception, and by wait().
  [[nodiscard]] Context context() const noexcept { return derived_.ctx; }

  // At most n goroutines at a time; n < 0: no limit, 0: none may start. While any is active: Panic
  // "errgroup: modify limit while N goroutines in the group are still active".
  HAMGAM_API void set_limit(int n);

  // Runs f(args...), which returns void or std::error_code, in a goroutine; first waits until the
  // limit allows it. May be called by the group's own goroutines.
  template <class F, class... Args>
    requires detail::Callable<F, Args...>
  HAMGAM_INLINE void go(F&& f, Args&&... args) {
    auto bound = bind<F, Args...>(std::forward<F>(f), std::forward<Args>(args)...);
    enter();
    start(std::move(bound));
  }

  template <class F, class... Args>
    requires detail::Callable<F, Args...>
  HAMGAM_INLINE void go(GoOptions options, F&& f, Args&&... args) {
    auto bound = bind<F, Args...>(std::forward<F>(f), std::forward<Args>(args)...);
    enter();
    start(std::move(bound), std::move(options));
  }

  template <class F, class... Args>
    requires detail::Miscalled<F, Args...>
  void go(F&& /*f*/, Args&&... /*args*/) {
    detail::explain_miscall<F, Args...>();
  }
  template <class... Args>
  void go(detail::OverloadedMember /*f*/, Args&&... /*args*/) {
    detail::explain_overloaded<Args...>();
  }

  // As go, but false where it would have to wait.
  template <class F, class... Args>
    requires detail::Callable<F, Args...>
  [[nodiscard]] HAMGAM_INLINE bool try_go(F&& f, Args&&... args) {
    auto bound = bind<F, Args...>(std::forward<F>(f), std::forward<Args>(args)...);
    if (!try_enter()) {
      return false;
    }
    start(std::move(bound));
    return true;
  }

  template <class F, class... Args>
    requires detail::Callable<F, Args...>
  [[nodiscard]] HAMGAM_INLINE bool try_go(GoOptions options, F&& f, Args&&... args) {
    auto bound = bind<F, Args...>(std::forward<F>(f), std::forward<Args>(args)...);
    if (!try_enter()) {
      return false;
    }
    start(std::move(bound), std::move(options));
    return true;
  }

  // Blocks until all have ended and cancels context(). Throws the first exception, each time it is
  // called.
  HAMGAM_API void wait();

 private:
  // active_ (64 bits)         changed by                               how
  //   count    bits 1..63     go (enter), a goroutine's end (leave)    RMW
  //   kParked  bit 0          a go before it sleeps; the leave that    CAS, bucket locked
  //                           serves the last sleeper
  // Invariants: (1) if any go sleeps on the object, kParked is set. (2) The count is at most the
  // limit.
  static constexpr std::int64_t kOne = 2;
  static constexpr std::int64_t kParked = 1;
  static constexpr std::int64_t kNoLimit = INT64_MAX / kOne;

  // Leaves the group when it is destroyed, unless it was moved from.
  struct Place {
    explicit Place(ErrGroup* g) noexcept : group(g) {}
    Place(Place&& other) noexcept : group(std::exchange(other.group, nullptr)) {}
    Place& operator=(Place&&) = delete;
    ~Place() {
      if (group != nullptr) {
        group->leave();
      }
    }
    ErrGroup* group;
  };

  // What a goroutine of the group runs. However that ends, the call with all that it holds is
  // destroyed (a member of the closure's, so that nothing is left of it, whatever its move leaves
  // behind), and only then the place is given up.
  template <class Bound>
  struct Part {
    Place place;
    Bound call;

    void operator()() {
      try {
        if constexpr (std::is_void_v<std::invoke_result_t<Bound&>>) {
          call();
        } else if (std::error_code const error = call()) {
          place.group->fail({std::make_exception_ptr(std::system_error(error)), nullptr});
        }
      } catch (const detail::GoexitSignal&) {
        throw;
      }
      HAMGAM_CATCH_TRACE
      catch (...) {
        place.group->fail(detail::current_failure());
      }
    }
  };

  template <class F, class... Args>
  static auto bind(F&& f, Args&&... args) {
    using Result = detail::GroupResult<F, Args...>;
    static_assert(std::is_void_v<Result> || std::is_same_v<Result, std::error_code>,
                  "ErrGroup: the function must return void or std::error_code; "
                  "any other result would be lost");
    return detail::bind_result(std::forward<F>(f), std::forward<Args>(args)...);
  }

  void enter() {
    // relaxed throughout: carries nothing but itself; running_ gives the edges
    if (HAMGAM_LIKELY(limit_.load(detail::kRelaxed) == kNoLimit)) {
      active_.fetch_add(kOne, detail::kRelaxed);
    } else {
      enter_limited();
    }
  }

  // After enter. A move that throws, of the call, gives the place up again.
  template <class Bound, class... Options>
  HAMGAM_INLINE void start(Bound&& bound, Options&&... options) {
    running_.add(1);
    Place place(this);
    detail::launch(Part<Bound>{std::move(place), std::forward<Bound>(bound)},
                   std::forward<Options>(options)...);
  }

  HAMGAM_API void enter_limited() noexcept;
  HAMGAM_API bool try_enter() noexcept;
  HAMGAM_API void leave() noexcept;
  HAMGAM_API HAMGAM_COLD void fail(detail::Failure failure) noexcept;

  detail::atomic<std::int64_t> active_{0};
  detail::atomic<std::int64_t> limit_{kNoLimit};
  WaitGroup running_;
  CancelContext derived_;
  // The first failure's, then nobody's until running_ is done.
  detail::Failure failure_;
  detail::atomic<bool> failed_{false};
  detail::atomic<bool> taken_{false};    // a wait() threw it
  detail::atomic<bool> closing_{false};  // the destructor has begun
};

}  // namespace hamgam::inline HAMGAM_ABI
