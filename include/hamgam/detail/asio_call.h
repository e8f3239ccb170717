// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// One asynchronous operation of Asio that a goroutine waits for: what stands behind asio.h.
//
// Who keeps alive what. The AsioCall stands on the stack of the one who waits. The handler that
// Asio gets refers to it; that is moved about but never copied, so there is one at a time that has
// not been called. It is ended in one of two ways: it is called, or it is destroyed without having
// been. Either tells, as its last touch, the Arrival `end_`, and who waits goes on only then;
// ~AsioCall waits, too, should an exception (of the initiating function, say) leave by that way. So
// nobody's pointer outlives the AsioCall, and nobody's buffer the operation on it. What is done on
// an executor (AsioStep) is kept alive in the same way.
//
// The handler may be called before the initiating function has returned, or on another thread while
// that is still in there: what is in the AsioCall then was there before the handler existed.
//
// Giving up asks the operation to end, and waits until it has. That is done on the executor on
// which the object works, as neither Asio's objects nor cancellation signals are thread-safe; there
// it does nothing if the operation has ended meanwhile.
//
// Rejected: a handler that brings memory from the AsioCall for Asio's bookkeeping. An operation
// that is destroyed without having been called frees its memory after its handler.

#include "hamgam/detail/config.h"

#if defined(ASIO_STANDALONE) || defined(ASIO_VERSION) || !__has_include(<boost/asio/async_result.hpp>)
#if !__has_include(<asio/async_result.hpp>)
#error "hamgam/asio.h needs Boost.Asio (Debian: libboost-dev) or Asio (libasio-dev)"
#endif
#define HAMGAM_ASIO_WITH_BOOST 0
#define HAMGAM_ASIO asio
#define HAMGAM_ASIO_KIND with_asio
#include <asio/associated_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/bind_executor.hpp>
#include <asio/dispatch.hpp>
#include <asio/error.hpp>
#if __has_include(<asio/cancellation_signal.hpp>)
#include <asio/cancellation_signal.hpp>
#define HAMGAM_ASIO_SLOTS 1
#else
#define HAMGAM_ASIO_SLOTS 0
#endif
#else
#define HAMGAM_ASIO_WITH_BOOST 1
#define HAMGAM_ASIO boost::asio
#define HAMGAM_ASIO_KIND with_boost
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/error.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>
#if __has_include(<boost/asio/cancellation_signal.hpp>)
#include <boost/asio/cancellation_signal.hpp>
#define HAMGAM_ASIO_SLOTS 1
#else
#define HAMGAM_ASIO_SLOTS 0
#endif
#endif

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <stop_token>
#include <string>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <utility>

#include "hamgam/detail/arrival.h"
#include "hamgam/detail/deadline.h"

namespace hamgam::inline HAMGAM_ABI::detail {
inline namespace HAMGAM_ASIO_KIND {

namespace asio_api = ::HAMGAM_ASIO;

#if HAMGAM_ASIO_WITH_BOOST
namespace asio_system = ::boost::system;
#else
namespace asio_system = ::std;
#endif
using AsioError = asio_system::error_code;

enum class AsioErrc { abandoned = 1 };

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wnon-virtual-dtor"  // Boost's: nobody deletes one
class AsioCategory final : public asio_system::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "hamgam.asio"; }
  [[nodiscard]] std::string message(int /*value*/) const override {
    return "the operation was dropped before it ended: its io_context was destroyed";
  }
  [[nodiscard]] asio_system::error_condition default_error_condition(
      int /*value*/) const noexcept override {
    return make_error_condition(asio_system::errc::operation_canceled);
  }
};
#pragma GCC diagnostic pop

inline AsioError make_error_code(AsioErrc value) noexcept {
  static const AsioCategory category;
  return {static_cast<int>(value), category};
}

}  // namespace HAMGAM_ASIO_KIND
}  // namespace hamgam::inline HAMGAM_ABI::detail

#if HAMGAM_ASIO_WITH_BOOST
template <>
struct boost::system::is_error_code_enum<hamgam::detail::AsioErrc> : std::true_type {};
#else
template <>
struct std::is_error_code_enum<hamgam::detail::AsioErrc> : std::true_type {};
#endif

namespace hamgam::inline HAMGAM_ABI::detail {
inline namespace HAMGAM_ASIO_KIND {

// A function of its own, so that no address of a thread_local that Asio uses in there is kept
// beyond a wait, which may end on another thread.
template <class F>
HAMGAM_NOINLINE void asio_apart(F&& f) {
  std::forward<F>(f)();
}

// What is to be done on an executor while somebody waits for it.
template <class F>
class AsioStep {
 public:
  explicit AsioStep(F& f) noexcept : f_(f) {}
  AsioStep(const AsioStep&) = delete;
  AsioStep& operator=(const AsioStep&) = delete;
  ~AsioStep() { over_.wait(); }

  // Throws what f throws. Without a call of f, if the executor drops it.
  template <class Executor>
  void run(const Executor& executor) {
    asio_apart([&] { asio_api::dispatch(executor, Function(*this)); });
    over_.wait();
    if (failure_ != nullptr) {
      std::rethrow_exception(failure_);
    }
  }

 private:
  class Function {
   public:
    explicit Function(AsioStep& step) noexcept : step_(&step) {}
    Function(Function&& other) noexcept : step_(std::exchange(other.step_, nullptr)) {}
    ~Function() {
      if (step_ != nullptr) {
        step_->over_.arrive();
      }
    }
    Function(const Function&) = delete;
    Function& operator=(const Function&) = delete;

    void operator()() noexcept {
      AsioStep* const step = std::exchange(step_, nullptr);
      try {
        step->f_();
      } catch (...) {
        step->failure_ = std::current_exception();
      }
      step->over_.arrive();
    }

   private:
    AsioStep* step_;
  };

  F& f_;
  std::exception_ptr failure_;
  Arrival over_;
};

template <class Executor, class F>
void asio_run_on(const Executor& executor, F f) {
  AsioStep<F>(f).run(executor);
}

// Where an operation is begun.
struct AsioHere {};

template <class Executor>
struct AsioOn {
  Executor executor;
};

// When a wait is given up.
class AsioLimit {
 public:
  AsioLimit(std::stop_token token) noexcept : token_(std::move(token)) {}  // NOLINT: any of these
  template <class Rep, class Period>
  AsioLimit(const std::chrono::duration<Rep, Period>& d)  // NOLINT: as above
      : deadline_(deadline_after(d)) {}
  template <class C, class D>
  AsioLimit(const std::chrono::time_point<C, D>& t)  // NOLINT: as above
      : deadline_(deadline_at(t)) {}

  [[nodiscard]] bool is_deadline() const noexcept { return deadline_ != kNoDeadline; }
  [[nodiscard]] bool wait(Arrival& end) const {
    return is_deadline() ? end.wait_until(deadline_) : end.wait(token_);
  }

 private:
  std::int64_t deadline_ = kNoDeadline;
  std::stop_token token_;
};

// Whether a wait is given up, and how its operation is told.
struct AsioForEver {};

template <class Object>
struct AsioByObject {
  AsioLimit limit;
  Object* object;

  template <class Initiation>
  auto executor(const Initiation& /*initiation*/) const {
    return object->get_executor();
  }
  void cancel() const { object->cancel(); }
};

#if HAMGAM_ASIO_SLOTS
struct AsioBySlot {
  AsioLimit limit;
  asio_api::cancellation_signal* signal = nullptr;

  template <class Initiation>
  auto executor(const Initiation& initiation) const {
    static_assert(
        requires { typename Initiation::executor_type; },
        "hamgam: this operation does not say where it is executed; name the object that "
        "can cancel it: use_goroutine(limit, socket)");
    return asio_api::get_associated_executor(initiation);
  }
  void cancel() const { signal->emit(asio_api::cancellation_type::terminal); }
};
#endif

// What comes first in a completion signature, and the values that follow.
enum class AsioFirst : std::uint8_t { kValue, kCode, kException };

template <class... Args>
struct AsioSignature {
  static constexpr AsioFirst kError = AsioFirst::kValue;
  using Values = std::tuple<Args...>;
};
template <class... Args>
struct AsioSignature<AsioError, Args...> {
  static constexpr AsioFirst kError = AsioFirst::kCode;
  using Values = std::tuple<Args...>;
};
template <class... Args>
struct AsioSignature<std::exception_ptr, Args...> {
  static constexpr AsioFirst kError = AsioFirst::kException;
  using Values = std::tuple<Args...>;
};

template <class Values>
struct AsioReturn {
  using Type = Values;
};
template <>
struct AsioReturn<std::tuple<>> {
  using Type = void;
};
template <class T>
struct AsioReturn<std::tuple<T>> {
  using Type = T;
};

// States: `values_` or `failure_` is set, or neither if the handler was destroyed, by whoever has
// the handler; then `end_` tells, and all belongs to the one who waits.
template <class How, class... Args>
class AsioCall {
  using Signature = AsioSignature<Args...>;
  using Values = typename Signature::Values;

 public:
  using Result = typename AsioReturn<Values>::Type;

  AsioCall(AsioError* redirect, How how) : redirect_(redirect), how_(std::move(how)) {
#if HAMGAM_ASIO_SLOTS
    if constexpr (std::is_same_v<How, AsioBySlot>) {
      how_.signal = &signal_;
    }
#endif
  }
  ~AsioCall() { end_.wait(); }
  AsioCall(const AsioCall&) = delete;
  AsioCall& operator=(const AsioCall&) = delete;

  // One of these two, once: the last touch.
  template <class... A>
  void complete(A&&... values) noexcept {
    try {
      values_.emplace(std::forward<A>(values)...);
    } catch (...) {
      failure_ = std::current_exception();
    }
    end_.arrive();
  }
  void abandon() noexcept { end_.arrive(); }

  // Where it is told to end.
  template <class Where, class Initiation>
  auto executor(const Where& where, const Initiation& initiation) const {
    if constexpr (!std::is_same_v<Where, AsioHere>) {
      return where.executor;
    } else if constexpr (kLimited) {
      return how_.executor(initiation);
    } else {
      return nullptr;
    }
  }

  template <class Executor>
  Result finish(const Executor& executor) {
    if constexpr (kLimited) {
      if (!how_.limit.wait(end_)) {
        gave_up_ = true;
        asio_run_on(executor, [this] { cancel(); });
      }
    }
    end_.wait();
    return result();
  }

#if HAMGAM_ASIO_SLOTS
  asio_api::cancellation_slot slot() noexcept {
    if constexpr (std::is_same_v<How, AsioBySlot>) {
      return signal_.slot();
    } else {
      return {};
    }
  }
#endif

 private:
  static constexpr bool kLimited = !std::is_same_v<How, AsioForEver>;

  struct Nothing {};

  void cancel() {
    if (!end_.arrived()) {
      try {
        how_.cancel();
      } catch (const asio_system::system_error&) {  // NOLINT(bugprone-empty-catch)
        // The object is closed: what was under way there has been cancelled by that.
      }
    }
  }

  [[nodiscard]] AsioError error() const {
    if (!values_.has_value()) {
      return AsioErrc::abandoned;
    }
    if constexpr (Signature::kError == AsioFirst::kCode) {
      AsioError const code = std::get<0>(*values_);
      if constexpr (kLimited) {
        if (gave_up_ && how_.limit.is_deadline() && code == asio_api::error::operation_aborted) {
          return asio_api::error::timed_out;
        }
      }
      return code;
    } else {
      return {};
    }
  }

  Result result() {
    if (failure_ != nullptr) {
      std::rethrow_exception(failure_);
    }
    if constexpr (Signature::kError == AsioFirst::kException) {
      if (values_.has_value() && std::get<0>(*values_) != nullptr) {
        std::rethrow_exception(std::get<0>(*values_));
      }
    }
    AsioError const code = error();
    constexpr bool kCanBeMade = std::is_void_v<Result> || std::is_default_constructible_v<Result>;
    if (code && (redirect_ == nullptr || (!kCanBeMade && !values_.has_value()))) {
      throw asio_system::system_error(code);
    }
    if (redirect_ != nullptr) {
      *redirect_ = code;
    }
    if constexpr (std::is_void_v<Result>) {
      return;
    } else {
      if constexpr (kCanBeMade) {
        if (!values_.has_value()) {
          return Result();
        }
      }
      return take(std::make_index_sequence<std::tuple_size_v<Values>>());
    }
  }

  template <std::size_t... I>
  Result take(std::index_sequence<I...> /*places*/) {
    constexpr std::size_t kFirst = Signature::kError == AsioFirst::kValue ? 0 : 1;
    return Result(std::get<kFirst + I>(std::move(*values_))...);
  }

  AsioError* const redirect_;
  How how_;
  bool gave_up_ = false;
  Arrival end_;
#if HAMGAM_ASIO_SLOTS
  [[no_unique_address]] std::conditional_t<std::is_same_v<How, AsioBySlot>,
                                           asio_api::cancellation_signal, Nothing>
      signal_;
#endif
  std::optional<std::tuple<Args...>> values_;
  std::exception_ptr failure_;
};

}  // namespace HAMGAM_ASIO_KIND
}  // namespace hamgam::inline HAMGAM_ABI::detail
