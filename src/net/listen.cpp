// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>

#include "net/dial.h"
#include "net/resolve.h"

namespace hamgam::inline HAMGAM_ABI::net {

using hamgam::detail::NetDescriptor;
using hamgam::detail::NetLimit;
using hamgam::detail::now;
using hamgam::detail::operate;
using hamgam::detail::TsanIgnore;

namespace {

constexpr hamgam::detail::Nanos kFirstNap = 5'000'000;
constexpr hamgam::detail::Nanos kLongestNap = 1'000'000'000;

constinit hamgam::detail::atomic<bool> g_told{false};

void tell_once(std::error_code error) noexcept {
  // relaxed: a line on standard error
  if (!g_told.exchange(true, hamgam::detail::kRelaxed)) {
    TsanIgnore const unseen;
    std::fprintf(
        stderr, "hamgam: accept: %s; trying again every now and then\n",
        error == system_code(EMFILE) ? "too many open files" : "too many open files in system");
  }
}

struct Peer {
  sockaddr_storage raw;
  socklen_t size;
};

long call_accept(void* raw, int fd) noexcept {
  TsanIgnore const unseen;
  auto& peer = *static_cast<Peer*>(raw);
  peer.size = sizeof peer.raw;
  stay_nonblocking(fd);
  int const taken =
      accept4(fd, reinterpret_cast<sockaddr*>(&peer.raw), &peer.size, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (taken < 0 && errno == ECONNABORTED) {
    errno = EINTR;  // the next one
  }
  return taken;
}

// Takes a connection off the listener's queue, with the options that the listener has (Linux hands
// them down). Null: see `error`, or the limit gave up.
NetDescriptor* accept_one(NetDescriptor* d, const char* kind, NetLimit& limit,
                          std::error_code& error) {
  if (d == nullptr) {
    error = make_error_code(Errc::closed);
    return nullptr;
  }
  Directed const directed(d->read, limit);
  hamgam::detail::Nanos pause = kFirstNap;
  while (directed) {
    Peer peer{};
    long const taken = operate(*d, d->read, &call_accept, &peer, limit, error);
    if (taken >= 0) {
      NetDescriptor* const conn = OwnNumber(static_cast<int>(taken)).hand_on(kind);
      keep_peer(*conn, &peer.raw, peer.size);
      return conn;
    }
    if (error != system_code(EMFILE) && error != system_code(ENFILE)) {
      break;
    }
    tell_once(error);
    error.clear();
    if (!nap(*d, d->read, limit, now() + pause)) {
      break;
    }
    pause = std::min(2 * pause, kLongestNap);
  }
  return nullptr;
}

NetDescriptor* accept_or_throw(NetDescriptor* d, const char* kind, NetLimit& limit) {
  std::error_code error;
  NetDescriptor* const taken = accept_one(d, kind, limit, error);
  if (error) {
    fail(error, std::string("accept ") + kind);
  }
  return taken;
}

int open_stream(int family) noexcept {
  TsanIgnore const unseen;
  return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

NetDescriptor* listen_at(const Address& address, const char* kind, const ListenOptions& options) {
  auto const* const raw = static_cast<const sockaddr*>(address.raw());
  std::string const what = "listen " + address.to_string();
  OwnNumber number(open_stream(raw->sa_family));
  if (number.get() < 0) {
    fail(system_code(errno), what);
  }
  set_option(number.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  if (options.reuse_port) {
    set_option(number.get(), SOL_SOCKET, SO_REUSEPORT, 1);
  }
  if (address.is_ipv6()) {
    set_option(number.get(), IPPROTO_IPV6, IPV6_V6ONLY, 0);
  }
  if (!address.is_unix()) {
    set_option(number.get(), IPPROTO_TCP, TCP_NODELAY, 1);
    set_up_keep_alive(number.get(), options.keep_alive);
  }
  if (options.before_bind) {
    options.before_bind(number.get());
  }
  TsanIgnore const unseen;
  if (bind(number.get(), raw, static_cast<socklen_t>(address.raw_size())) != 0 ||
      // The kernel cuts it to somaxconn.
      listen(number.get(), options.backlog > 0 ? options.backlog : INT_MAX) != 0) {
    fail(system_code(errno), what);
  }
  return number.hand_on(kind);
}

}  // namespace

TcpListener TcpListener::bind(std::string_view host_port, const ListenOptions& options) {
  if (!host_port.empty() && host_port[0] != ':') {
    return TcpListener(open_first(resolve(host_port), [&options](const Address& address) {
      return listen_at(address, "tcp", options);
    }));
  }
  std::string const port(host_port.empty() ? ":0" : host_port);
  try {
    return TcpListener(listen_at(resolve("[::]" + port).at(0), "tcp", options));
  } catch (const Error& e) {
    if (e.code() != std::errc::address_family_not_supported &&
        e.code() != std::errc::address_not_available && e.code() != Errc::host_not_found) {
      throw;
    }
  }
  return TcpListener(listen_at(resolve("0.0.0.0" + port).at(0), "tcp", options));  // without IPv6
}

TcpConn TcpListener::accept() const {
  NetLimit limit;
  return TcpConn(accept_or_throw(d_, "tcp", limit));
}

TcpConn TcpListener::accept(std::error_code& e) const {
  e.clear();
  NetLimit limit;
  return TcpConn(accept_one(d_, "tcp", limit, e));
}

std::optional<TcpConn> TcpListener::accept_limited(std::int64_t deadline,
                                                   const std::stop_token* token) const {
  NetLimit limit;
  limit.deadline = deadline;
  limit.token = token;
  TcpConn conn(accept_or_throw(d_, "tcp", limit));
  return conn ? std::optional(std::move(conn)) : std::nullopt;
}

Address TcpListener::address() const { return name_of(InCall(d_, "address").number(), false); }

UnixListener UnixListener::bind(std::string_view path) {
  return UnixListener(listen_at(unix_address(path), "unix", {}));
}

UnixConn UnixListener::accept() const {
  NetLimit limit;
  return UnixConn(accept_or_throw(d_, "unix", limit));
}

UnixConn UnixListener::accept(std::error_code& e) const {
  e.clear();
  NetLimit limit;
  return UnixConn(accept_one(d_, "unix", limit, e));
}

std::optional<UnixConn> UnixListener::accept_limited(std::int64_t deadline,
                                                     const std::stop_token* token) const {
  NetLimit limit;
  limit.deadline = deadline;
  limit.token = token;
  UnixConn conn(accept_or_throw(d_, "unix", limit));
  return conn ? std::optional(std::move(conn)) : std::nullopt;
}

Address UnixListener::address() const { return name_of(InCall(d_, "address").number(), false); }

}  // namespace hamgam::inline HAMGAM_ABI::net
