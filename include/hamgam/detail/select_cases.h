// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// The cases that on_recv, on_send, on_timeout, on_stop and otherwise make. A case says with op()
// what the core is to wait for, and with run() does what the program wants once it was chosen.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>

#include "hamgam/chan.h"
#include "hamgam/detail/select_ops.h"

namespace hamgam::inline HAMGAM_ABI::detail {

struct NoFunction {
  void operator()() const noexcept {}
};

struct SelectCase {
  SelectCase() = default;
  SelectCase(const SelectCase&) = delete;
  SelectCase& operator=(const SelectCase&) = delete;

  // How long a case lets the others wait: nanoseconds, 0: not at all.
  [[nodiscard]] static constexpr std::int64_t patience() noexcept { return kNoDeadline; }
};

template <class C>
concept IsSelectCase = std::derived_from<std::remove_cvref_t<C>, SelectCase>;

template <class C>
concept RecvEnd = std::derived_from<C, Receiving<C, typename C::value_type>>;
template <class C>
concept SendEnd = std::derived_from<C, Sending<C, typename C::value_type>>;

// The channel of a case: that of a handle of the caller's ...
class Borrowed {
 public:
  explicit Borrowed(ChanCore* core) noexcept : core_(core) {}
  [[nodiscard]] ChanCore* core() const noexcept { return core_; }

 private:
  ChanCore* core_;
};

// ... or that of a handle which was given away to it.
template <class C>
class Taken {
 public:
  explicit Taken(C&& handle) noexcept : handle_(std::move(handle)) {}
  [[nodiscard]] ChanCore* core() const noexcept { return ChanAccess::core(handle_); }

 private:
  C handle_;
};

template <class F, class T>
concept RecvFunction = std::invocable<F&, std::optional<T>> || std::invocable<F&>;

template <class T, class F, class Handle = Borrowed>
class RecvCase : public SelectCase {
 public:
  static constexpr bool kOnce = false;  // a SelectSet keeps it after it was chosen

  RecvCase(Handle&& handle, F&& f) : handle_(std::move(handle)), function_(std::move(f)) {}

  [[nodiscard]] SelectOp op() noexcept { return {SelectOp::kRecv, chan(), room_.place()}; }

  void run(bool done) {
    std::optional<T> value;
    if (done) {
      value.emplace(std::move(room_.value));
      room_.value.~T();
    }
    if constexpr (std::invocable<F&, std::optional<T>>) {
      std::invoke(function_, std::move(value));
    } else {
      std::invoke(function_);
    }
  }

  // For a SelectSet, which holds the channel itself.
  [[nodiscard]] RecvCase<T, F> kept() && { return {Borrowed(chan()), std::move(function_)}; }
  [[nodiscard]] ChanCore* chan() const noexcept { return handle_.core(); }

 private:
  Handle handle_;
  F function_;
  Room<T> room_;
};

// What a send case sends: a value that it may move from ...
template <class T>
class Movable {
 public:
  explicit Movable(T& value) noexcept : value_(std::addressof(value)) {}
  [[nodiscard]] void* get() noexcept { return value_; }
  [[nodiscard]] T take() noexcept { return std::move(*value_); }

 private:
  T* value_;
};

// ... or one that it keeps.
template <class T>
class Kept {
 public:
  explicit Kept(T&& value) noexcept : value_(std::move(value)) {}
  [[nodiscard]] void* get() noexcept { return std::addressof(value_); }
  [[nodiscard]] T take() noexcept { return std::move(value_); }

 private:
  T value_;
};

template <class T, class Holder, class F, class Handle = Borrowed>
class SendCase : public SelectCase {
 public:
  static constexpr bool kOnce = true;

  SendCase(Handle&& handle, Holder&& holder, F&& f)
      : handle_(std::move(handle)), holder_(std::move(holder)), function_(std::move(f)) {}

  [[nodiscard]] SelectOp op() noexcept { return {SelectOp::kSend, chan(), holder_.get()}; }

  void run(bool done) {
    if (!done) {
      throw_send_on_closed();
    }
    std::invoke(function_);
  }

  [[nodiscard]] SendCase<T, Kept<T>, F> kept() && {
    return {Borrowed(chan()), Kept<T>(holder_.take()), std::move(function_)};
  }
  [[nodiscard]] ChanCore* chan() const noexcept { return handle_.core(); }

 private:
  Handle handle_;
  Holder holder_;
  F function_;
};

// A case of no channel.
template <class F>
class PlainCase : public SelectCase {
 public:
  static constexpr bool kOnce = false;

  explicit PlainCase(F&& f) : function_(std::move(f)) {}

  [[nodiscard]] SelectOp op() noexcept { return {}; }
  void run(bool) { std::invoke(function_); }
  [[nodiscard]] ChanCore* chan() const noexcept { return nullptr; }

 protected:
  F function_;
};

template <class F>
class TimeoutCase : public PlainCase<F> {
 public:
  TimeoutCase(std::int64_t nanos, F&& f) : PlainCase<F>(std::move(f)), nanos_(nanos) {}

  [[nodiscard]] std::int64_t patience() const noexcept { return nanos_; }
  [[nodiscard]] TimeoutCase kept() && { return {nanos_, std::move(this->function_)}; }

 private:
  std::int64_t nanos_;
};

template <class F>
class OtherwiseCase : public PlainCase<F> {
 public:
  using PlainCase<F>::PlainCase;

  [[nodiscard]] static constexpr std::int64_t patience() noexcept { return -1; }
  [[nodiscard]] OtherwiseCase kept() && { return OtherwiseCase(std::move(this->function_)); }
};

template <class F>
class StopCase : public PlainCase<F> {
 public:
  StopCase(std::stop_token token, F&& f) : PlainCase<F>(std::move(f)), token_(std::move(token)) {}

  [[nodiscard]] SelectOp op() noexcept { return SelectOp(token_); }
  [[nodiscard]] StopCase kept() && { return {std::move(token_), std::move(this->function_)}; }

 private:
  std::stop_token token_;
};

// Which case ends the waiting of the others, and when.
struct SelectLimit {
  std::int64_t patience = kNoDeadline;
  std::size_t place = kSelectGaveUp;

  void consider(std::int64_t other, std::size_t at) noexcept {
    if (other < patience) {
      patience = other;
      place = at;
    }
  }
  [[nodiscard]] std::int64_t deadline() const noexcept {
    if (patience == kNoDeadline) {
      return kNoDeadline;
    }
    return patience <= 0 ? 0 : deadline_after(std::chrono::nanoseconds(patience));
  }
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
