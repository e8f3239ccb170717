// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// What Asio asks for a completion token: the handler, and how the initiating function waits. Both
// ways in which it does so: async_result::initiate (since 1.70), and an async_result that is made
// around a handler which was made from the token (before, and in libraries of that time).

#include <type_traits>
#include <utility>

#include "hamgam/detail/asio_call.h"

namespace hamgam::inline HAMGAM_ABI {

namespace asio::inline HAMGAM_ASIO_KIND {
template <class How = detail::AsioForEver, class Where = detail::AsioHere>
class UseGoroutine;
}

namespace detail::inline HAMGAM_ASIO_KIND {

// The handler. Move-only: there is one that has not been called. Without an executor, an allocator
// or a slot of its own but the call's: what is bound around the token (bind_executor...) counts.
template <class Call>
class AsioHandler {
 public:
  explicit AsioHandler(Call& call) noexcept : call_(&call) {}
  AsioHandler(AsioHandler&& other) noexcept : call_(std::exchange(other.call_, nullptr)) {}
  ~AsioHandler() { drop(); }
  AsioHandler(const AsioHandler&) = delete;
  AsioHandler& operator=(const AsioHandler&) = delete;

  template <class... A>
  void operator()(A&&... values) {
    std::exchange(call_, nullptr)->complete(std::forward<A>(values)...);
  }

#if HAMGAM_ASIO_SLOTS
  using cancellation_slot_type = asio_api::cancellation_slot;
  [[nodiscard]] cancellation_slot_type get_cancellation_slot() const noexcept {
    return call_ != nullptr ? call_->slot() : cancellation_slot_type();
  }
#endif

 protected:
  AsioHandler() noexcept = default;
  void attach(Call& call) noexcept { call_ = &call; }
  void drop() noexcept {
    if (call_ != nullptr) {
      std::exchange(call_, nullptr)->abandon();
    }
  }

 private:
  Call* call_ = nullptr;
};

// The one that is made from the token, before there is a call.
template <class Token, class Call>
class AsioTokenHandler : public AsioHandler<Call> {
 public:
  AsioTokenHandler(const Token& token) : token_(token) {}  // NOLINT: as Asio makes it

  [[nodiscard]] const Token& token() const noexcept { return token_; }
  using AsioHandler<Call>::attach;
  using AsioHandler<Call>::drop;

 private:
  Token token_;
};

template <class How, class Where, class... Args>
class AsioResult {
  using Token = asio::UseGoroutine<How, Where>;
  using Call = AsioCall<How, std::decay_t<Args>...>;
  static constexpr bool kHere = std::is_same_v<Where, AsioHere>;

 public:
  using completion_handler_type = AsioTokenHandler<Token, Call>;
  using return_type = typename Call::Result;

  template <class Initiation, class RawToken, class... InitArgs>
  static return_type initiate(Initiation&& initiation, RawToken&& token, InitArgs&&... args) {
    Call call(token.redirect_, token.how_);
    auto const executor = call.executor(token.where_, initiation);
    {
      AsioHandler<Call> handler(call);
      if constexpr (kHere) {
        asio_apart([&] {
          std::forward<Initiation>(initiation)(std::move(handler), std::forward<InitArgs>(args)...);
        });
      } else {
        asio_run_on(executor, [&] {
          std::forward<Initiation>(initiation)(
              asio_api::bind_executor(executor, std::move(handler)),
              std::forward<InitArgs>(args)...);
        });
      }
    }
    return call.finish(executor);
  }

  explicit AsioResult(completion_handler_type& handler)
    requires kHere  // elsewhere it cannot be begun in this way
      : handler_(handler), call_(handler.token().redirect_, handler.token().how_) {
    handler.attach(call_);
  }
  // The handler may still be where it was made, if the initiating function throws.
  ~AsioResult() { handler_.drop(); }
  AsioResult(const AsioResult&) = delete;
  AsioResult& operator=(const AsioResult&) = delete;

  return_type get() { return call_.finish(call_.executor(AsioHere(), nullptr)); }

 private:
  completion_handler_type& handler_;
  Call call_;
};

// bind_executor(executor, token): the same, with that as the handler's executor. (Asio's own way to
// bind, in 1.74, takes a token for its handler.)
template <class Initiation, class Executor>
struct AsioBoundInitiation {
  using executor_type = Executor;

  Initiation& initiation;
  Executor executor;

  [[nodiscard]] executor_type get_executor() const noexcept { return executor; }

  template <class Handler, class... InitArgs>
  void operator()(Handler&& handler, InitArgs&&... args) const {
    std::move(initiation)(asio_api::bind_executor(executor, std::forward<Handler>(handler)),
                          std::forward<InitArgs>(args)...);
  }
};

template <class Executor, class How, class Where, class... Args>
class AsioBoundResult {
  using Result = AsioResult<How, Where, Args...>;

 public:
  using completion_handler_type =
      asio_api::executor_binder<typename Result::completion_handler_type, Executor>;
  using return_type = typename Result::return_type;

  template <class Initiation, class RawToken, class... InitArgs>
  static return_type initiate(Initiation&& initiation, RawToken&& token, InitArgs&&... args) {
    using Bound = AsioBoundInitiation<std::remove_reference_t<Initiation>, Executor>;
    return Result::initiate(Bound{initiation, token.get_executor()}, token.get(),
                            std::forward<InitArgs>(args)...);
  }

  explicit AsioBoundResult(completion_handler_type& handler) : result_(handler.get()) {}
  return_type get() { return result_.get(); }

 private:
  Result result_;
};

}  // namespace detail::inline HAMGAM_ASIO_KIND
}  // namespace hamgam::inline HAMGAM_ABI

template <class How, class Where, class R, class... Args>
class HAMGAM_ASIO::async_result<hamgam::asio::UseGoroutine<How, Where>, R(Args...)>
    : public hamgam::detail::AsioResult<How, Where, Args...> {
 public:
  using hamgam::detail::AsioResult<How, Where, Args...>::AsioResult;
};

template <class How, class Where, class Executor, class R, class... Args>
class HAMGAM_ASIO::async_result<
    HAMGAM_ASIO::executor_binder<hamgam::asio::UseGoroutine<How, Where>, Executor>, R(Args...)>
    : public hamgam::detail::AsioBoundResult<Executor, How, Where, Args...> {
 public:
  using hamgam::detail::AsioBoundResult<Executor, How, Where, Args...>::AsioBoundResult;
};
