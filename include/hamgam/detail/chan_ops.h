// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// What the templates of chan.h and select.h ask of src/chan, where the type of the values is not
// known.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

class ChanCore;
struct Sleeper;
class Selection;

// What a channel knows of its values. `move` constructs *to from *from, which stays to be
// destroyed; null: copying `size` bytes does it. `destroy` is null where there is nothing to do.
struct ElementType {
  std::size_t size;
  std::size_t align;
  void (*move)(void* to, void* from) noexcept;
  void (*destroy)(void* value) noexcept;
};

template <class T>
void move_element(void* to, void* from) noexcept {
  ::new (to) T(std::move(*static_cast<T*>(from)));
}

template <class T>
void destroy_element(void* value) noexcept {
  static_cast<T*>(value)->~T();
}

template <class T>
inline constexpr ElementType kElementType = {
    sizeof(T), alignof(T), std::is_trivially_copyable_v<T> ? nullptr : &move_element<T>,
    std::is_trivially_destructible_v<T> ? nullptr : &destroy_element<T>};

enum class ChanResult : std::uint8_t {
  kDone,    // sent or received
  kClosed,  // the channel is closed, and drained if it was to be received from
  kGaveUp,  // it would have had to wait, or to wait longer
};

// One who waits on one channel: a sender or a receiver, or one case of a select. It stands on the
// stack of the one who waits. Belongs to the channel's lock while queued.
struct ChanWaiter {
  ChanWaiter* next = nullptr;
  ChanWaiter* prev = nullptr;
  void* value = nullptr;           // a receiver: where it goes; a sender: where it is
  Sleeper* sleeper = nullptr;      // whom to wake
  Selection* selection = nullptr;  // of which it is a case; null: it waits for nothing else
  std::uint32_t place = 0;         // which case
  bool queued = false;
  bool done = false;  // set by the one that took it off: false if the channel was closed
};

// One case of a select.
struct SelectOp {
  enum Kind : std::uint8_t { kRecv, kSend, kStop };

  SelectOp() noexcept = default;
  SelectOp(Kind which, ChanCore* on, void* where) noexcept : kind(which), chan(on), value(where) {}
  explicit SelectOp(const std::stop_token& stop) noexcept : kind(kStop), token(&stop) {}

  Kind kind = kRecv;
  ChanCore* chan = nullptr;                // null: never ready
  void* value = nullptr;                   // as in ChanWaiter
  const std::stop_token* token = nullptr;  // kStop: ready once stop was requested
  std::uint64_t seen = 0;                  // select's
  ChanWaiter waiter;                       // select's
};

// Throws Panic("makechan: size out of range"), std::bad_alloc. One reference to it.
HAMGAM_API ChanCore* new_chan(const ElementType& type, std::size_t capacity);
HAMGAM_API void retain_chan(ChanCore* chan) noexcept;
HAMGAM_API void release_chan(ChanCore* chan) noexcept;

// All below take a null channel for the nil one. A value received is constructed at *value,
// uninitialised before; one to be sent is moved from exactly if kDone is the result.
HAMGAM_API void chan_send(ChanCore* chan, void* value);  // throws Panic if closed
HAMGAM_API ChanResult chan_recv(ChanCore* chan, void* value) noexcept;
HAMGAM_API ChanResult chan_try_send(ChanCore* chan, void* value) noexcept;
HAMGAM_API ChanResult chan_try_recv(ChanCore* chan, void* value) noexcept;
HAMGAM_API ChanResult chan_wait(SelectOp& op, std::int64_t deadline);
HAMGAM_API ChanResult chan_wait(SelectOp& op, const std::stop_token& token);
HAMGAM_API void chan_close(ChanCore* chan);
HAMGAM_API std::size_t chan_len(ChanCore* chan) noexcept;
HAMGAM_API std::size_t chan_cap(const ChanCore* chan) noexcept;
// Does anybody hold it besides the caller?
[[nodiscard]] HAMGAM_API bool chan_is_shared(const ChanCore* chan) noexcept;

[[noreturn]] HAMGAM_API HAMGAM_COLD void throw_send_on_closed();

// Room for one value, constructed and destroyed by hand.
template <class T>
union Room {
  Room() noexcept {}
  ~Room() {}
  Room(const Room&) = delete;
  Room& operator=(const Room&) = delete;

  [[nodiscard]] T* place() noexcept { return std::addressof(value); }
  std::optional<T> take() noexcept {
    std::optional<T> result(std::in_place, std::move(value));
    value.~T();
    return result;
  }

  T value;
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
