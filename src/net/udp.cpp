// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

#include "hamgam/net.h"
#include "net/descriptor.h"
#include "net/number.h"
#include "net/resolve.h"

// Datagrams. All of a stream's waiting is descriptor.h's; a datagram is one system call. A socket
// of all addresses is IPv6's with IPv4 mapped into it: what it sends to is mapped here, and where
// something comes from is mapped back, so that addresses compare equal as users write them.

namespace hamgam::inline HAMGAM_ABI::net {

using hamgam::detail::NetDirection;
using hamgam::detail::operate;
using hamgam::detail::TsanIgnore;

namespace {

sockaddr_in6 mapped(const Address& address) noexcept {
  sockaddr_in short_form{};
  std::memcpy(&short_form, address.raw(), sizeof short_form);
  sockaddr_in6 long_form{};
  long_form.sin6_family = AF_INET6;
  long_form.sin6_port = short_form.sin_port;
  std::memset(long_form.sin6_addr.s6_addr + 10, 0xff, 2);
  std::memcpy(long_form.sin6_addr.s6_addr + 12, &short_form.sin_addr, 4);
  return long_form;
}

struct Datagram {
  iovec part;
  sockaddr_storage peer;
  socklen_t peer_size;
  std::size_t moved;
  bool truncated;
};

long call_receive(void* raw, int fd) noexcept {
  auto& d = *static_cast<Datagram*>(raw);
  msghdr message{};
  message.msg_iov = &d.part;
  message.msg_iovlen = 1;
  message.msg_name = &d.peer;
  message.msg_namelen = sizeof d.peer;
  long const count = recvmsg(fd, &message, MSG_DONTWAIT);
  d.moved = count > 0 ? static_cast<std::size_t>(count) : 0;
  d.peer_size = message.msg_namelen;
  d.truncated = (message.msg_flags & MSG_TRUNC) != 0;
  return count;
}

long call_send(void* raw, int fd) noexcept {
  auto& d = *static_cast<Datagram*>(raw);
  msghdr message{};
  message.msg_iov = &d.part;
  message.msg_iovlen = 1;
  if (d.peer_size != 0) {
    message.msg_name = &d.peer;
    message.msg_namelen = d.peer_size;
  }
  return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

bool is_of_ipv6(int fd) noexcept {
  int family = AF_UNSPEC;
  socklen_t size = sizeof family;
  return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size) == 0 && family == AF_INET6;
}

// A socket that is bound, or connected.
detail::NetDescriptor* open_at(const Address& address, bool connects, const std::string& what) {
  auto const* const raw = static_cast<const sockaddr*>(address.raw());
  auto const size = static_cast<socklen_t>(address.raw_size());
  TsanIgnore const unseen;
  OwnNumber number(socket(raw->sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (number.get() < 0) {
    fail(system_code(errno), what);
  }
  if (address.is_ipv6()) {
    set_option(number.get(), IPPROTO_IPV6, IPV6_V6ONLY, 0);
  }
  if ((connects ? ::connect(number.get(), raw, size) : ::bind(number.get(), raw, size)) != 0) {
    fail(system_code(errno), what);
  }
  return number.hand_on("udp");
}

NetDirection& of(detail::NetDescriptor* d, bool write) {
  if (d == nullptr || hamgam::detail::is_closed(*d)) {
    fail(make_error_code(Errc::closed), "set deadline");
  }
  return write ? d->write : d->read;
}

Address name_of_socket(detail::NetDescriptor* d, bool peer, const char* what) {
  return name_of(InCall(d, what).number(), peer);
}

}  // namespace

UdpSocket UdpSocket::bind(std::string_view host_port) {
  std::string const text(host_port);
  std::string const what = "listen udp " + text;
  if (!text.empty() && text[0] != ':') {
    return UdpSocket(
        open_first(resolve_now(text, Transport::kUdp),
                   [&what](const Address& address) { return open_at(address, false, what); }));
  }
  std::string const port(text.empty() ? ":0" : text);
  try {
    return UdpSocket(open_at(resolve_now("[::]" + port, Transport::kUdp).at(0), false, what));
  } catch (const Error& e) {
    if (e.code() != std::errc::address_family_not_supported &&
        e.code() != std::errc::address_not_available && e.code() != Errc::host_not_found) {
      throw;
    }
  }
  // Without IPv6.
  return UdpSocket(open_at(resolve_now("0.0.0.0" + port, Transport::kUdp).at(0), false, what));
}

UdpSocket UdpSocket::connect(std::string_view host_port) {
  std::string const what = "dial udp " + std::string(host_port);
  auto all = resolve_now(host_port, Transport::kUdp);
  if (host_port.starts_with(':')) {
    // A connect does not tell whether anybody is there; who has bound both families, or IPv4 alone,
    // as most have, hears of IPv4.
    std::ranges::stable_partition(all, &Address::is_ipv4);
  }
  for (std::size_t i = 0; i + 1 < all.size(); ++i) {
    try {
      return UdpSocket(open_at(all[i], true, what));
    } catch (const Error&) {
      continue;  // the next one
    }
  }
  return UdpSocket(open_at(all.at(all.size() - 1), true, what));
}

UdpSocket::Received UdpSocket::take(Bytes b, detail::NetLimit& limit,
                                    std::error_code& e) const noexcept {
  e.clear();
  if (d_ == nullptr) {
    e = make_error_code(Errc::closed);
    return {};
  }
  Datagram datagram{};
  datagram.part = {b.data(), b.size()};
  try {
    Directed const directed(d_->read, limit);
    if (directed && operate(*d_, d_->read, &call_receive, &datagram, limit, e) >= 0) {
      return {datagram.moved, unmapped(datagram.peer, datagram.peer_size), datagram.truncated};
    }
  } catch (const std::bad_alloc&) {  // for a timer
    e = std::make_error_code(std::errc::not_enough_memory);
  }
  return {};
}

void UdpSocket::give(ConstBytes b, const Address* to, detail::NetLimit& limit,
                     std::error_code& e) const noexcept {
  e.clear();
  if (d_ == nullptr || !hamgam::detail::enter_descriptor(*d_)) {
    e = make_error_code(Errc::closed);
    return;
  }
  bool const maps = to != nullptr && to->is_ipv4() && is_of_ipv6(d_->fd);
  hamgam::detail::leave_descriptor(*d_);
  Datagram datagram{};
  datagram.part = {const_cast<std::byte*>(b.data()), b.size()};
  if (maps) {
    sockaddr_in6 const long_form = mapped(*to);
    std::memcpy(&datagram.peer, &long_form, sizeof long_form);
    datagram.peer_size = sizeof long_form;
  } else if (to != nullptr) {
    if (!to->is_ipv4() && !to->is_ipv6()) {
      e = make_error_code(Errc::no_suitable_address);
      return;
    }
    std::memcpy(&datagram.peer, to->raw(), to->raw_size());
    datagram.peer_size = static_cast<socklen_t>(to->raw_size());
  }
  try {
    Directed const directed(d_->write, limit);
    if (directed) {
      (void)operate(*d_, d_->write, &call_send, &datagram, limit, e);
    }
  } catch (const std::bad_alloc&) {  // for a timer
    e = std::make_error_code(std::errc::not_enough_memory);
  }
}

void UdpSocket::fail_with(const char* what, std::error_code code, const Address* to) const {
  std::string text = std::string(what) + " udp";
  if (d_ != nullptr && hamgam::detail::enter_descriptor(*d_)) {
    Address const from = name_of(d_->fd, false);
    Address const other = to != nullptr ? *to : name_of(d_->fd, true);
    hamgam::detail::leave_descriptor(*d_);  // before anything that may throw
    text.append(" ").append(from.to_string());
    if (std::string const peer = other.to_string(); !peer.empty()) {
      text.append("->").append(peer);
    }
  }
  throw Error(code, text);
}

UdpSocket::Received UdpSocket::receive_from(Bytes b) const {
  return *receive_limited(b, hamgam::detail::kNoDeadline, nullptr);
}

UdpSocket::Received UdpSocket::receive_from(Bytes b, std::error_code& e) const noexcept {
  detail::NetLimit limit;
  return take(b, limit, e);
}

std::optional<UdpSocket::Received> UdpSocket::receive_limited(Bytes b, std::int64_t deadline,
                                                              const std::stop_token* token) const {
  detail::NetLimit limit;
  limit.deadline = deadline;
  limit.token = token;
  std::error_code error;
  Received received = take(b, limit, error);
  if (error) {
    fail_with("read", error, nullptr);
  }
  if (limit.gave_up) {
    return std::nullopt;
  }
  return received;
}

void UdpSocket::send_to(ConstBytes b, const Address& to) const {
  (void)send_limited(b, to, hamgam::detail::kNoDeadline, nullptr);
}

void UdpSocket::send_to(ConstBytes b, const Address& to, std::error_code& e) const noexcept {
  detail::NetLimit limit;
  give(b, &to, limit, e);
}

void UdpSocket::send(ConstBytes b) const {
  std::error_code error;
  send(b, error);
  if (error) {
    fail_with("write", error, nullptr);
  }
}

void UdpSocket::send(ConstBytes b, std::error_code& e) const noexcept {
  detail::NetLimit limit;
  give(b, nullptr, limit, e);
}

bool UdpSocket::send_limited(ConstBytes b, const Address& to, std::int64_t deadline,
                             const std::stop_token* token) const {
  detail::NetLimit limit;
  limit.deadline = deadline;
  limit.token = token;
  std::error_code error;
  give(b, &to, limit, error);
  if (error) {
    fail_with("write", error, &to);
  }
  return !limit.gave_up;
}

void UdpSocket::set_read_deadline(TimePoint t) const {
  hamgam::detail::move_deadline(of(d_, false), t.time_since_epoch().count());
}

void UdpSocket::set_write_deadline(TimePoint t) const {
  hamgam::detail::move_deadline(of(d_, true), t.time_since_epoch().count());
}

Address UdpSocket::local_address() const { return name_of_socket(d_, false, "local address"); }

Address UdpSocket::remote_address() const { return name_of_socket(d_, true, "remote address"); }

}  // namespace hamgam::inline HAMGAM_ABI::net
