// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// What the kinds of sockets have in common: numbers that nobody has taken over yet, and calls on
// those that somebody has.

#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include "hamgam/net.h"
#include "net/descriptor.h"

namespace hamgam::inline HAMGAM_ABI::net {

inline std::error_code system_code(int error) noexcept { return {error, std::generic_category()}; }

[[noreturn]] inline void fail(std::error_code code, const std::string& what) {
  throw Error(code, what);
}

// IPv4's addresses as such, also where a socket of both families shows them in IPv6's form.
inline Address unmapped(const sockaddr_storage& raw, socklen_t size) noexcept {
  if (raw.ss_family == AF_INET6) {
    auto const& long_form = reinterpret_cast<const sockaddr_in6&>(raw);
    if (IN6_IS_ADDR_V4MAPPED(&long_form.sin6_addr)) {
      sockaddr_in short_form{};
      short_form.sin_family = AF_INET;
      short_form.sin_port = long_form.sin6_port;
      std::memcpy(&short_form.sin_addr, long_form.sin6_addr.s6_addr + 12, 4);
      return Address::from_raw(&short_form, sizeof short_form);
    }
  }
  return Address::from_raw(&raw, size);
}

inline Address name_of(int fd, bool peer) noexcept {
  sockaddr_storage raw{};
  socklen_t size = sizeof raw;
  auto* const name = reinterpret_cast<sockaddr*>(&raw);
  if ((peer ? getpeername(fd, name, &size) : getsockname(fd, name, &size)) != 0) {
    return {};
  }
  return unmapped(raw, size);
}

// Keeps the peer's address, if it is one of IPv4 or IPv6.
inline void keep_peer(detail::NetDescriptor& d, const void* raw, std::size_t size) noexcept {
  if (size != 0 && size <= d.peer.size() &&
      static_cast<const sockaddr*>(raw)->sa_family != AF_UNIX) {
    hamgam::detail::TsanIgnore const unseen;  // it was another one's
    std::memcpy(d.peer.data(), raw, size);
    d.peer_size = static_cast<std::uint8_t>(size);
  }
}

// By a user.
inline Address peer_of(const detail::NetDescriptor& d) noexcept {
  if (d.peer_size == 0) {
    return name_of(d.fd, true);
  }
  hamgam::detail::TsanIgnore const unseen;
  sockaddr_storage raw{};
  std::memcpy(&raw, d.peer.data(), d.peer_size);
  return unmapped(raw, d.peer_size);
}

inline Address unix_address(std::string_view path) {
  Address const address = Address::parse(path);
  if (!address.is_unix()) {
    fail(make_error_code(Errc::no_suitable_address), "address " + std::string(path));
  }
  return address;
}

inline void set_option(int fd, int level, int option, int value) noexcept {
  (void)setsockopt(fd, level, option, &value, sizeof value);
}

// Whoever shares the open file, a child say, may have cleared that. For calls that have no flag for
// it of their own; it is cheaper than to ask.
inline void stay_nonblocking(int fd) noexcept {
  int yes = 1;
  (void)ioctl(fd, FIONBIO, &yes);
}

// While it lives the number is in a call and stays open. Throws Error, Errc::closed.
class InCall {
 public:
  InCall(detail::NetDescriptor* d, const char* what) : d_(d) {
    if (d == nullptr || !hamgam::detail::enter_descriptor(*d)) {
      fail(make_error_code(Errc::closed), what);
    }
  }
  ~InCall() { hamgam::detail::leave_descriptor(*d_); }
  InCall(const InCall&) = delete;
  InCall& operator=(const InCall&) = delete;
  [[nodiscard]] int number() const noexcept { return d_->fd; }
  [[nodiscard]] Address peer() const noexcept { return peer_of(*d_); }

 private:
  detail::NetDescriptor* const d_;
};

// The direction is the caller's until its end, if it was taken.
class Directed {
 public:
  Directed(hamgam::detail::NetDirection& direction, detail::NetLimit& limit)
      : direction_(direction), taken_(hamgam::detail::take_direction(direction, limit)) {}
  ~Directed() {
    if (taken_) {
      direction_.busy.unlock();
    }
  }
  Directed(const Directed&) = delete;
  Directed& operator=(const Directed&) = delete;
  [[nodiscard]] explicit operator bool() const noexcept { return taken_; }

 private:
  hamgam::detail::NetDirection& direction_;
  bool const taken_;
};

// Closed, unless it was handed on.
class OwnNumber {
 public:
  explicit OwnNumber(int fd) noexcept : fd_(fd) {}
  ~OwnNumber() { reset(); }
  OwnNumber(const OwnNumber&) = delete;
  OwnNumber& operator=(const OwnNumber&) = delete;
  [[nodiscard]] int get() const noexcept { return fd_; }
  void reset(int fd = -1) noexcept {
    if (fd_ >= 0) {
      hamgam::detail::TsanIgnore const unseen;
      ::close(fd_);
    }
    fd_ = fd;
  }
  detail::NetDescriptor* hand_on(const char* kind) {
    detail::NetDescriptor* d = hamgam::detail::open_descriptor(fd_, kind);
    if (d == nullptr) {
      throw std::bad_alloc();
    }
    fd_ = -1;
    return d;
  }

 private:
  int fd_;
};

}  // namespace hamgam::inline HAMGAM_ABI::net
