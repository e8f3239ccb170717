// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Chan<T>: a channel, through which goroutines and plain threads hand values to each other.
//
//   Chan<int> squares = make_chan<int>();             // unbuffered: a send waits for its receive
//   go([squares] {
//     for (int i = 0; i < 10; ++i) squares.send(i * i);
//     squares.close();
//   });
//   for (int square : squares) use(square);           // until closed and drained
//
// A Chan is a handle: copies refer to the same channel, which lives until the last of them is gone.
// One that was default-made is Go's nil channel: every operation on it waits for ever. SendChan and
// RecvChan are views that allow one direction only; a Chan converts to both. What is in it then is
// destroyed; a chain of channels, of which each holds the last handle of the next, one within
// another: drop one of thousands link by link.
//
// Values arrive in the order in which they were sent; who has waited longest is served first. A
// value goes straight from the sender into the frame of a receiver that waits. T's moves and
// destructor must not throw; they run under the channel's lock, so they must not block either.
//
// Forms of send and recv: plain, which waits; try_, which never does; _for, _until and with a
// std::stop_token, which give up, but only where they would have to wait. An rvalue is moved from
// only if it was sent: after a failure, or the Panic "send on closed channel", it is still in the
// caller's hands.
//
// Happens-before: a send is before the completion of its receive; a receive from an unbuffered
// channel is before the completion of its send; the k-th receive from a channel of capacity C is
// before the completion of the (k+C)-th send; close is before a receive that returns because of it;
// a request to stop before the return of a send or receive that it ends.

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>

#include "hamgam/detail/chan_ops.h"
#include "hamgam/detail/config.h"
#include "hamgam/detail/deadline.h"
#include "hamgam/panic.h"

namespace hamgam::inline HAMGAM_ABI {

template <class T>
class Chan;
template <class T>
class SendChan;
template <class T>
class RecvChan;

// The value of a channel that only signals (Go: chan struct{}).
struct Unit {
  friend constexpr bool operator==(Unit, Unit) noexcept { return true; }
};

// What a receive that does not wait, or not for ever, found: a value; or else that the channel is
// closed and drained; or neither, and it gave up.
template <class T>
struct TryRecv {
  std::optional<T> value;
  bool closed = false;
};

// capacity: how many values it holds without a receiver. Panic "makechan: size out of range".
template <class T>
[[nodiscard]] Chan<T> make_chan(std::size_t capacity = 0);

namespace detail {

struct ChanAccess;

// The reference that every handle is.
template <class T>
class ChanHandle {
  static_assert(std::is_object_v<T> && !std::is_array_v<T> && !std::is_const_v<T>,
                "a channel's values are objects: use Chan<Unit> where there is nothing to send");

 public:
  // What is sent.
  using value_type = T;

  // How many values it holds now, and how many it can hold.
  [[nodiscard]] std::size_t len() const noexcept { return chan_len(core_); }
  [[nodiscard]] std::size_t cap() const noexcept { return chan_cap(core_); }

  // False: the nil channel.
  [[nodiscard]] explicit operator bool() const noexcept { return core_ != nullptr; }

  // The same channel?
  [[nodiscard]] friend bool operator==(const ChanHandle& a, const ChanHandle& b) noexcept {
    return a.core_ == b.core_;
  }

 protected:
  ChanHandle() noexcept = default;
  explicit ChanHandle(ChanCore* core) noexcept : core_(core) {}
  ChanHandle(const ChanHandle& other) noexcept : core_(other.core_) {
    if (core_ != nullptr) {
      retain_chan(core_);
    }
  }
  ChanHandle(ChanHandle&& other) noexcept : core_(std::exchange(other.core_, nullptr)) {}
  ChanHandle& operator=(const ChanHandle& other) noexcept {
    ChanHandle copy(other);
    std::swap(core_, copy.core_);
    return *this;
  }
  ChanHandle& operator=(ChanHandle&& other) noexcept {
    ChanHandle taken(std::move(other));
    std::swap(core_, taken.core_);
    return *this;
  }
  // What T must be is asked here, where it is complete also if a Chan<T> is a member of it.
  ~ChanHandle() {
    static_assert(
        std::is_nothrow_move_constructible_v<T>,
        "a channel's values must not throw when moved: declare the move constructor noexcept, "
        "or send a std::unique_ptr to it");
    static_assert(std::is_nothrow_destructible_v<T>,
                  "a channel's values must not throw when destroyed");
    if (core_ != nullptr) {
      release_chan(core_);
    }
  }

  friend struct ChanAccess;
  ChanCore* core_ = nullptr;
};

struct ChanAccess {
  template <class T>
  static ChanCore* core(const ChanHandle<T>& handle) noexcept {
    return handle.core_;
  }
  // Takes the reference over.
  template <class T>
  static Chan<T> adopt(ChanCore* core) noexcept {
    return Chan<T>(core);
  }
};

// A value to be sent by one who may not move from it: its copy, or itself if a copy is its bytes.
template <class T>
class Outgoing {
 public:
  explicit Outgoing(const T& value) : value_(value) {}
  [[nodiscard]] void* get() noexcept { return std::addressof(value_); }

 private:
  T value_;
};

template <class T>
  requires std::is_trivially_copyable_v<T>
class Outgoing<T> {
 public:
  explicit Outgoing(const T& value) noexcept : value_(std::addressof(value)) {}
  [[nodiscard]] void* get() noexcept { return const_cast<T*>(value_); }

 private:
  const T* value_;
};

// Self is a ChanHandle<T>.
template <class Self, class T>
class Sending {
 public:
  // Waits until the value is received, or held by the channel. Panic "send on closed channel", also
  // if it is closed meanwhile.
  void send(T&& value) const { chan_send(core(), std::addressof(value)); }
  void send(const T& value) const
    requires std::copy_constructible<T>
  {
    chan_send(core(), Outgoing<T>(value).get());
  }

  // False if it would have to wait. Panic "send on closed channel".
  [[nodiscard]] bool try_send(T&& value) const { return attempt(std::addressof(value)); }
  [[nodiscard]] bool try_send(const T& value) const
    requires std::copy_constructible<T>
  {
    return attempt(Outgoing<T>(value).get());
  }

  // False if it was not sent in time. Panic "send on closed channel". std::bad_alloc if there is no
  // memory for a timer.
  template <class Rep, class Period>
  [[nodiscard]] bool send_for(T&& value, const std::chrono::duration<Rep, Period>& d) const {
    return wait_for(std::addressof(value), d);
  }
  template <class Rep, class Period>
    requires std::copy_constructible<T>
  [[nodiscard]] bool send_for(const T& value, const std::chrono::duration<Rep, Period>& d) const {
    return wait_for(Outgoing<T>(value).get(), d);
  }

  template <class C, class D>
  [[nodiscard]] bool send_until(T&& value, const std::chrono::time_point<C, D>& t) const {
    return wait_until(std::addressof(value), t);
  }
  template <class C, class D>
    requires std::copy_constructible<T>
  [[nodiscard]] bool send_until(const T& value, const std::chrono::time_point<C, D>& t) const {
    return wait_until(Outgoing<T>(value).get(), t);
  }

  // False if stop was requested before it was sent. Panic "send on closed channel".
  [[nodiscard]] bool send(T&& value, const std::stop_token& token) const {
    return wait(std::addressof(value), token);
  }
  [[nodiscard]] bool send(const T& value, const std::stop_token& token) const
    requires std::copy_constructible<T>
  {
    return wait(Outgoing<T>(value).get(), token);
  }

  // No more values will be sent: receivers get what is held, then nothing; senders that wait get
  // their Panic. Panics "close of closed channel", "close of nil channel".
  void close() const { chan_close(core()); }

 private:
  [[nodiscard]] ChanCore* core() const noexcept {
    return ChanAccess::core<T>(static_cast<const Self&>(*this));
  }

  static bool sent(ChanResult result) {
    if (HAMGAM_UNLIKELY(result == ChanResult::kClosed)) {
      throw_send_on_closed();
    }
    return result == ChanResult::kDone;
  }

  bool attempt(void* value) const { return sent(chan_try_send(core(), value)); }

  template <class Rep, class Period>
  bool wait_for(void* value, const std::chrono::duration<Rep, Period>& d) const {
    return attempt(value) || wait_deadline(value, deadline_after(d));
  }

  template <class C, class D>
  bool wait_until(void* value, const std::chrono::time_point<C, D>& t) const {
    return attempt(value) ||
           attempt_until(t, [&](std::int64_t deadline) { return wait_deadline(value, deadline); });
  }

  bool wait_deadline(void* value, std::int64_t deadline) const {
    SelectOp op{SelectOp::kSend, core(), value};
    return sent(chan_wait(op, deadline));
  }

  bool wait(void* value, const std::stop_token& token) const {
    SelectOp op{SelectOp::kSend, core(), value};
    return sent(chan_wait(op, token));
  }
};

// for (T value : channel). * hands over the value that the last ++ (begin) received.
template <class Self>
class ChanIterator {
 public:
  using value_type = typename Self::value_type;
  using difference_type = std::ptrdiff_t;

  ChanIterator() = default;
  explicit ChanIterator(const Self& chan) : chan_(chan), value_(chan_.recv()) {}
  ChanIterator(ChanIterator&&) noexcept = default;
  ChanIterator& operator=(ChanIterator&& other) noexcept {
    chan_ = std::move(other.chan_);
    value_.reset();
    if (other.value_.has_value()) {
      value_.emplace(*std::move(other.value_));
    }
    return *this;
  }

  value_type operator*() const noexcept { return std::move(*value_); }  // once for each ++
  ChanIterator& operator++() {
    value_.reset();
    if (std::optional<value_type> next = chan_.recv()) {
      value_.emplace(*std::move(next));
    }
    return *this;
  }
  void operator++(int) { ++*this; }

  friend bool operator==(const ChanIterator& it, std::default_sentinel_t) noexcept {
    return !it.value_.has_value();
  }

 private:
  Self chan_;
  mutable std::optional<value_type> value_;
};

template <class Self, class T>
class Receiving {
 public:
  // Waits for a value; nullopt: closed and drained.
  std::optional<T> recv() const {
    Room<T> room;
    if (chan_recv(core(), room.place()) != ChanResult::kDone) {
      return std::nullopt;
    }
    return room.take();
  }

  // Never waits.
  TryRecv<T> try_recv() const {
    Room<T> room;
    return received(room, chan_try_recv(core(), room.place()));
  }

  // Neither a value nor closed: nothing came in time. std::bad_alloc if there is no memory for a
  // timer.
  template <class Rep, class Period>
  TryRecv<T> recv_for(const std::chrono::duration<Rep, Period>& d) const {
    TryRecv<T> result = try_recv();
    return is_answer(result) ? std::move(result) : wait_deadline(deadline_after(d));
  }

  template <class C, class D>
  TryRecv<T> recv_until(const std::chrono::time_point<C, D>& t) const {
    if (TryRecv<T> result = try_recv(); is_answer(result)) {
      return result;
    }
    Room<T> room;
    ChanResult result = ChanResult::kGaveUp;
    (void)attempt_until(t, [&](std::int64_t deadline) {
      SelectOp op{SelectOp::kRecv, core(), room.place()};
      result = chan_wait(op, deadline);
      return result != ChanResult::kGaveUp;
    });
    return received(room, result);
  }

  // Neither a value nor closed: stop was requested first.
  TryRecv<T> recv(const std::stop_token& token) const {
    Room<T> room;
    SelectOp op{SelectOp::kRecv, core(), room.place()};
    return received(room, chan_wait(op, token));
  }

  // Receives until the channel is closed and drained. Move-only values: `for (T v : ch)`, or
  // auto&&.
  [[nodiscard]] ChanIterator<Self> begin() const {
    return ChanIterator<Self>(static_cast<const Self&>(*this));
  }
  [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }

 private:
  [[nodiscard]] ChanCore* core() const noexcept {
    return ChanAccess::core<T>(static_cast<const Self&>(*this));
  }

  static bool is_answer(const TryRecv<T>& result) noexcept {
    return result.value.has_value() || result.closed;
  }

  static TryRecv<T> received(Room<T>& room, ChanResult result) noexcept {
    if (result == ChanResult::kDone) {
      return {room.take(), false};
    }
    return {std::nullopt, result == ChanResult::kClosed};
  }

  TryRecv<T> wait_deadline(std::int64_t deadline) const {
    Room<T> room;
    SelectOp op{SelectOp::kRecv, core(), room.place()};
    return received(room, chan_wait(op, deadline));
  }
};

}  // namespace detail

template <class T>
class Chan : public detail::ChanHandle<T>,
             public detail::Sending<Chan<T>, T>,
             public detail::Receiving<Chan<T>, T> {
 public:
  Chan() noexcept = default;

 private:
  using detail::ChanHandle<T>::ChanHandle;
  friend struct detail::ChanAccess;
  friend class SendChan<T>;
  friend class RecvChan<T>;
  friend Chan make_chan<T>(std::size_t capacity);
};

// The end one sends into.
template <class T>
class SendChan : public detail::ChanHandle<T>, public detail::Sending<SendChan<T>, T> {
 public:
  // The nil channel, or a view of this one.
  SendChan() noexcept = default;
  SendChan(Chan<T> chan) noexcept : detail::ChanHandle<T>(std::move(chan)) {}  // NOLINT: a view
};

// The end one receives from.
template <class T>
class RecvChan : public detail::ChanHandle<T>, public detail::Receiving<RecvChan<T>, T> {
 public:
  // The nil channel, or a view of this one.
  RecvChan() noexcept = default;
  RecvChan(Chan<T> chan) noexcept : detail::ChanHandle<T>(std::move(chan)) {}  // NOLINT: a view
};

template <class T>
Chan<T> make_chan(std::size_t capacity) {
  return Chan<T>(detail::new_chan(detail::kElementType<T>, capacity));
}

}  // namespace hamgam::inline HAMGAM_ABI
