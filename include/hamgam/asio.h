// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// use_goroutine: a completion token by which the asynchronous operations of Asio, and of libraries
// that are built on it (Boost.Beast, Boost.MySQL, Boost.Redis), park the calling goroutine until
// they have ended.
//
//   std::size_t n = socket.async_read_some(buffer, asio::use_goroutine);   // throws on error
//   n = socket.async_read_some(buffer, asio::use_goroutine(ec));           // ec instead
//   n = socket.async_read_some(buffer, asio::use_goroutine(5s, socket));   // for 5 s at most
//
// Not part of hamgam.h: it needs Boost.Asio (1.74 or newer), or Asio itself, and nothing to link.
// It takes Boost's, unless there is none, <asio.hpp> was included before, or ASIO_STANDALONE is
// defined; its CMake target is hamgam::asio.
//
// The io_context is run by somebody else, as ever: plain threads, or goroutines within blocking().
// Give it a work guard: between two operations of the goroutines there may be none for it to wait
// for, and run() would return. From goroutines and plain threads alike, but not from a handler that
// keeps the io_context's only thread: nobody would be left to end the operation.
//
// Error and values. If the first that an operation gives is an error_code, it is thrown as Asio's
// system_error, or stored in the ec; an exception_ptr is rethrown. What follows is returned:
// nothing, the value, or a std::tuple of them. With an ec the values are those that came with the
// error (the bytes that were transferred).
//
// An operation that is dropped without having been ended, as those are that are under way when
// their io_context is destroyed, ends with the error Errc::abandoned, which equals the condition
// errc::operation_canceled. (If it gives no error_code that is thrown, and with an ec, too, if its
// value cannot be default-made.) A goroutine that waits is told, not waited for: let those end that
// have sockets, timers and the like of an io_context before you destroy it. An io_context that is
// stopped drops nothing: they wait until it runs again or is destroyed.
//
// Giving up. With a limit, a std::stop_token, duration or time point, the operation is cancelled
// when that is over, and it is waited until it has ended, as it may still use its buffers: it ends
// with operation_aborted, or timed_out for a time, or with success after all. A duration counts
// from the call of use_goroutine. It is cancelled through the object that is named, which has
// get_executor() and cancel(): sockets, timers, resolvers, Beast's streams; all that is under way
// there ends. In Asio with cancellation slots (Boost 1.77, Asio 1.19) it need not be named; then it
// is the operation alone. The cancelling runs on the object's executor: if several threads run the
// io_context, that is to be a strand, as always where several use an object.
//
// Several goroutines. Asio allows several operations on one object at a time, but not that they are
// begun at the same moment, and a strand does not help: it is the goroutine that begins them. So
// one goroutine at a time uses an object; or, where one reads and another writes (on a web socket,
// say), both by use_goroutine.on(strand), which has the operation begun on the strand, too.
// bind_executor(strand, use_goroutine), and the like, work as with any token.
//
// "All goroutines are asleep" is reported only if nobody runs the io_context: somebody who does is
// no sleeper.
//
// Happens-before: what was done before an operation ended is before the return of the call.

#include <concepts>
#include <type_traits>
#include <utility>

#include "hamgam/detail/asio_call.h"
#include "hamgam/detail/asio_result.h"
#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI {

namespace asio {

inline namespace HAMGAM_ASIO_KIND {

// abandoned: the operation was dropped, see above.
using Errc = detail::AsioErrc;

// The type of use_goroutine, and of what its calls return.
template <class How, class Where>
class UseGoroutine {
  using ErrorCode = detail::AsioError;
  using Limit = detail::AsioLimit;
  static constexpr bool kPlain = std::is_same_v<How, detail::AsioForEver>;
  static constexpr bool kHere = std::is_same_v<Where, detail::AsioHere>;

 public:
  constexpr UseGoroutine() noexcept
    requires(kPlain && kHere)
  = default;

  // The error goes to `ec`, which is cleared if there is none.
  constexpr UseGoroutine operator()(ErrorCode& ec) const
    requires kPlain
  {
    return UseGoroutine(&ec, {}, where_);
  }

  // Given up at the limit, by object.cancel().
  template <class Object>
    requires kPlain
  auto operator()(Limit limit, Object& object) const {
    return limited(redirect_, by_object(std::move(limit), object));
  }
  template <class Object>
    requires kPlain
  auto operator()(ErrorCode& ec, Limit limit, Object& object) const {
    return limited(&ec, by_object(std::move(limit), object));
  }

  // The same, by the operation's cancellation slot.
  auto operator()(Limit limit) const
    requires kPlain
  {
    return limited(redirect_, by_slot(std::move(limit)));
  }
  auto operator()(ErrorCode& ec, Limit limit) const
    requires kPlain
  {
    return limited(&ec, by_slot(std::move(limit)));
  }

  // Begun there, too.
  template <class Executor>
    requires(kPlain && kHere)
  auto on(const Executor& executor) const {
    using On = detail::AsioOn<Executor>;
    return UseGoroutine<How, On>(redirect_, {}, On{executor});
  }

  // For objects whose operations are to be called without naming the token, as Asio's tokens have
  // it: auto socket = use_goroutine.as_default_on(tcp::socket(io)); socket.async_read_some(buffer);
  template <class Executor>
  struct executor_with_default : Executor {
    // What Asio takes where no token is named.
    using default_completion_token_type = UseGoroutine;

    // As the other one, which may be of any kind that converts.
    template <class Other>
      requires(!std::is_same_v<Other, executor_with_default> &&
               std::is_convertible_v<Other, Executor>)
    executor_with_default(const Other& executor) noexcept  // NOLINT: as Asio's are
        : Executor(executor) {}
  };
  template <class Object>
  using as_default_on_t = typename Object::template rebind_executor<
      executor_with_default<typename Object::executor_type>>::other;
  template <class Object>
    requires(kPlain && kHere)
  static as_default_on_t<std::decay_t<Object>> as_default_on(Object&& object) {
    return as_default_on_t<std::decay_t<Object>>(std::forward<Object>(object));
  }

 private:
  template <class OtherHow, class OtherWhere>
  friend class UseGoroutine;
  template <class OtherHow, class OtherWhere, class... Args>
  friend class detail::AsioResult;

  constexpr UseGoroutine(ErrorCode* redirect, How how, Where where)
      : redirect_(redirect), how_(std::move(how)), where_(std::move(where)) {}

  template <class Limited>
  UseGoroutine<Limited, Where> limited(ErrorCode* redirect, Limited how) const {
    return {redirect, std::move(how), where_};
  }

  template <class Object>
  static detail::AsioByObject<Object> by_object(Limit limit, Object& object) {
    return {std::move(limit), &object};
  }

  template <class L>
  static auto by_slot([[maybe_unused]] L limit) {
#if HAMGAM_ASIO_SLOTS
    return detail::AsioBySlot{std::move(limit)};
#else
    static_assert(!std::is_same_v<L, Limit>,
                  "hamgam: this Asio has no cancellation slots (Boost 1.77, Asio 1.19): name the "
                  "object that can cancel the operation: use_goroutine(limit, socket)");
    return How();
#endif
  }

  ErrorCode* redirect_ = nullptr;
  [[no_unique_address]] How how_;
  [[no_unique_address]] Where where_;
};

inline constexpr UseGoroutine<> use_goroutine;

}  // namespace HAMGAM_ASIO_KIND

}  // namespace asio

}  // namespace hamgam::inline HAMGAM_ABI
