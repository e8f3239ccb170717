// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Context: carries a cancellation signal, a deadline and values from a caller to all that work for
// it.
//
//   auto [ctx, cancel] = with_timeout(Context::background(), 2s);
//   CancelGuard const guard(cancel);
//   go([ctx] { serve(ctx); });
//
//   while (select(on_recv(ctx.done()), on_recv(jobs, handle)) != 0) {  // until it is cancelled
//   }
//
// Contexts form a tree: cancelling one cancels all that derive from it. Whoever works looks at
// err(), selects on done(), or gives stop_token() to anything that blocks. A Context is a handle,
// cheap to copy; all copies mean the same one. From goroutines and plain threads alike; no
// goroutine per context.
//
// cancel() reaches err() and done() of every derived context before it returns, whoever cancelled
// first; their stop tokens too, by the first cancel, which runs the callbacks. A callback may wait;
// the canceller then keeps its thread, and later callbacks wait for it. It does not wait for any
// work. The first cancel decides err() and cause(); a context that was cancelled before its
// parent keeps its own. err() is not null only once done() is closed.
//
// Dropping every handle of a context cancels nothing and lets it go, unless somebody may still see
// it cancelled: one who holds its done() channel, asked for its stop_token(), or registered an
// after_func. Then it stays until it is cancelled by its deadline or its parent, or its parent
// goes.
//
// Happens-before: cancel() is before whatever sees it: err() that is not null, a receive from
// done(), the start of a stop callback or of an after_func's f.

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <utility>

#include "hamgam/chan.h"
#include "hamgam/detail/clock.h"
#include "hamgam/detail/config.h"
#include "hamgam/detail/context_node.h"
#include "hamgam/detail/deadline.h"
#include "hamgam/detail/job.h"

namespace hamgam::inline HAMGAM_ABI {

// Compares equal to std::errc::operation_canceled and std::errc::timed_out.
enum class ContextError { canceled = 1, deadline_exceeded = 2 };

// So that a ContextError is a std::error_code.
[[nodiscard]] HAMGAM_API const std::error_category& context_category() noexcept;
[[nodiscard]] inline std::error_code make_error_code(ContextError e) noexcept {
  return {static_cast<int>(e), context_category()};
}

// The key of a value of type T in contexts. Its address is its identity, so make it a constant that
// lives as long as the program: `inline constexpr ContextKey<User> kUser;`
template <class T>
class ContextKey {
 public:
  // NOLINTNEXTLINE(modernize-use-equals-default): so that it can be const
  constexpr ContextKey() noexcept {}
  ContextKey(const ContextKey&) = delete;
  ContextKey& operator=(const ContextKey&) = delete;
};

class AfterFunc;
struct CancelContext;

namespace detail {
struct ContextAccess;
}  // namespace detail

class [[nodiscard]] Context {
 public:
  // The background.
  Context() noexcept = default;

  // Never cancelled, without deadline and values: where every tree begins.
  static Context background() noexcept { return {}; }

  // Null while open, else ContextError::canceled or deadline_exceeded. One atomic load.
  [[nodiscard]] std::error_code err() const noexcept {
    if (node_.get() == nullptr || node_->error == nullptr) {
      return {};
    }
    std::uint32_t const word =
        node_->error->load(detail::kAcquire);  // [ctx.1] acquire, pairs with [ctx.2]
    return HAMGAM_LIKELY(word == 0) ? std::error_code() : err_slow(word);
  }

  // Closed when the context is cancelled; nothing is ever sent. The nil channel if it never can be.
  [[nodiscard]] HAMGAM_API RecvChan<Unit> done() const;

  // Why: what cancel was given, else std::system_error(err()); null while open.
  [[nodiscard]] HAMGAM_API std::exception_ptr cause() const;

  // When it will be cancelled at the latest.
  [[nodiscard]] HAMGAM_API std::optional<TimePoint> deadline() const noexcept;

  // Stop is requested when the context is cancelled: makes any blocking operation cancellable by
  // it.
  [[nodiscard]] HAMGAM_API std::stop_token stop_token() const;

  // The value that the nearest with_value up the tree gave to the key; null if none did. It lives
  // as long as this Context or one derived from it. O(depth).
  template <class T>
  [[nodiscard]] const T* value(const ContextKey<T>& key) const noexcept HAMGAM_LIFETIMEBOUND {
    for (const detail::ContextNode* n = node_.get(); n != nullptr; n = n->parent) {
      if (n->key == &key) {
        return static_cast<const T*>(n->value);
      }
    }
    return nullptr;
  }

 private:
  friend struct detail::ContextAccess;
  explicit Context(detail::ContextRef node) noexcept : node_(std::move(node)) {}

  HAMGAM_API HAMGAM_COLD std::error_code err_slow(std::uint32_t word) const noexcept;

  detail::ContextRef node_;
};

// Cancels its context. Copyable, may be called often and from anywhere; only the first call counts.
// Dropping it cancels nothing. It may be destroyed while it is called, by a stop callback that it
// runs. A default-made one does nothing.
class CancelFunc {
 public:
  CancelFunc() noexcept = default;

  // The context is cancelled when it returns. cause: what its cause() gives.
  HAMGAM_API void operator()(const std::exception_ptr& cause = nullptr) const noexcept;

 private:
  friend struct detail::ContextAccess;
  explicit CancelFunc(detail::ContextRef node) noexcept : node_(std::move(node)) {}

  detail::ContextRef node_;
};

// For structured binding: auto [ctx, cancel] = with_cancel(parent); and for members that are there
// already: std::tie(ctx_, cancel_) = with_cancel(parent);
struct [[nodiscard]] CancelContext {
  Context ctx;
  CancelFunc cancel;

  // References to both, for std::tie.
  // NOLINTNEXTLINE(google-explicit-constructor): for std::tie
  operator std::tuple<Context&, CancelFunc&>() noexcept HAMGAM_LIFETIMEBOUND {
    return {ctx, cancel};
  }
};

// Cancels at the end of its scope (Go: defer cancel()). Move-only; a default-made one, or one that
// was moved from, does nothing.
class [[nodiscard]] CancelGuard {
 public:
  // Of nothing, or of this function.
  CancelGuard() noexcept = default;
  explicit CancelGuard(CancelFunc cancel) noexcept : cancel_(std::move(cancel)) {}
  CancelGuard(CancelGuard&&) noexcept = default;
  CancelGuard& operator=(CancelGuard&& other) noexcept {
    CancelGuard former(std::move(other));  // so itself keeps its own
    std::swap(cancel_, former.cancel_);
    return *this;
  }
  ~CancelGuard() { cancel_(); }

  // Gives the function back: nothing is cancelled any more.
  CancelFunc release() noexcept { return std::move(cancel_); }

 private:
  CancelFunc cancel_;
};

namespace detail {

// Between the handles and their nodes.
struct ContextAccess {
  static Context handle(ContextRef node) noexcept { return Context(std::move(node)); }
  static ContextRef node_of(Context&& context) noexcept { return std::move(context.node_); }
  static CancelContext cancel_context(ContextRef node) noexcept {
    ContextRef other(node.get());
    other->refs.fetch_add(1, kRelaxed);  // relaxed: made from another reference
    return {Context(std::move(node)), CancelFunc(std::move(other))};
  }
  static AfterFunc after_func(ContextRef context, ContextRef node) noexcept;
};

HAMGAM_API CancelContext derive_with_deadline(Context&& parent, std::int64_t deadline, bool passed);
HAMGAM_API AfterFunc register_after_func(Context&& context, std::unique_ptr<Job> job);
}  // namespace detail

// Derives a context that can be cancelled by itself. These throw std::bad_alloc if there is no
// memory.
HAMGAM_API CancelContext with_cancel(Context parent);

// Derives one that is cancelled with ContextError::deadline_exceeded when the time is over.
template <class Rep, class Period>
CancelContext with_timeout(Context parent, const std::chrono::duration<Rep, Period>& d) {
  std::int64_t const wait = detail::saturated_nanos(d);
  return detail::derive_with_deadline(std::move(parent), detail::deadline_after_nanos(wait),
                                      wait == 0);
}

// t of a clock that is not steady is translated once, as in Go: setting that clock later moves
// nothing.
template <class C, class D>
CancelContext with_deadline(Context parent, const std::chrono::time_point<C, D>& t) {
  std::int64_t const deadline = detail::deadline_at(t);
  return detail::derive_with_deadline(std::move(parent), deadline, deadline <= detail::nanos_now());
}

// Derives one in which the key has this value.
template <class T>
Context with_value(Context parent, const ContextKey<T>& key, std::type_identity_t<T> value) {
  detail::ContextRef node(new detail::ValueNode<T>(&key, std::move(value)));
  detail::derive(*node.get(), detail::ContextAccess::node_of(std::move(parent)));
  return detail::ContextAccess::handle(std::move(node));
}

// Derives one that has the values and is not cancelled when the parent is.
HAMGAM_API Context without_cancel(Context parent);

// What after_func registered. Dropping it cancels nothing. The stop() of a default-made one is
// false.
class [[nodiscard]] AfterFunc {
 public:
  AfterFunc() noexcept = default;

  // True if it kept f from being started. Then f and what it captured are destroyed before this
  // returns.
  [[nodiscard]] HAMGAM_API bool stop() const noexcept;

 private:
  friend struct detail::ContextAccess;
  AfterFunc(detail::ContextRef context, detail::ContextRef node) noexcept
      : context_(std::move(context)), node_(std::move(node)) {}

  detail::ContextRef context_;
  detail::ContextRef node_;
};

inline AfterFunc detail::ContextAccess::after_func(ContextRef context, ContextRef node) noexcept {
  return {std::move(context), std::move(node)};
}

// Calls f in a goroutine of its own once the context is cancelled; at once if it is already. f is
// destroyed by that goroutine right after; if it can never be called, with the last handle of the
// context.
template <class F>
  requires std::invocable<std::decay_t<F>&>
AfterFunc after_func(Context context, F&& f) {
  return detail::register_after_func(std::move(context), detail::make_job(std::forward<F>(f)));
}

}  // namespace hamgam::inline HAMGAM_ABI

template <>
struct std::is_error_code_enum<hamgam::ContextError> : std::true_type {};
