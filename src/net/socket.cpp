// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <mutex>

#include "hamgam/net.h"
#include "hamgam/time.h"
#include "net/descriptor.h"

namespace hamgam::inline HAMGAM_ABI::net {

using hamgam::detail::close_descriptor;
using hamgam::detail::enter_descriptor;
using hamgam::detail::leave_descriptor;
using hamgam::detail::Nanos;
using hamgam::detail::NetDirection;
using hamgam::detail::open_descriptor;
using hamgam::detail::operate;
using hamgam::detail::take_direction;
using hamgam::detail::TsanIgnore;

namespace {

constexpr std::size_t kMostAtOnce = std::size_t{1} << 30;

std::error_code system_code(int error) { return {error, std::generic_category()}; }

[[noreturn]] void fail(std::error_code code, std::string what) { throw Error(code, what); }

Address name_of(int fd, bool peer) {
  sockaddr_storage raw{};
  socklen_t size = sizeof raw;
  auto* const name = reinterpret_cast<sockaddr*>(&raw);
  if ((peer ? getpeername(fd, name, &size) : getsockname(fd, name, &size)) != 0) {
    return {};
  }
  return Address::from_raw(&raw, size);
}

template <class F>
auto with_number(detail::NetDescriptor* d, const char* what, F f) {
  if (d == nullptr || !enter_descriptor(*d)) {
    fail(make_error_code(Errc::closed), what);
  }
  struct Leave {
    detail::NetDescriptor& d;
    ~Leave() { leave_descriptor(d); }
  } const leave{*d};
  return f(d->fd);
}

void set_option(int fd, int level, int option, int value) noexcept {
  (void)setsockopt(fd, level, option, &value, sizeof value);
}

void set_up_tcp(int fd) noexcept {
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 15);
  set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 15);
  set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 9);
}

int open_socket(int family) noexcept {
  TsanIgnore const unseen;
  return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

// Closed, unless it was handed on.
class OwnNumber {
 public:
  explicit OwnNumber(int fd) noexcept : fd_(fd) {}
  ~OwnNumber() {
    if (fd_ >= 0) {
      TsanIgnore const unseen;
      ::close(fd_);
    }
  }
  OwnNumber(const OwnNumber&) = delete;
  OwnNumber& operator=(const OwnNumber&) = delete;
  [[nodiscard]] int get() const noexcept { return fd_; }
  detail::NetDescriptor* hand_on(const char* kind) {
    detail::NetDescriptor* d = open_descriptor(fd_, kind);
    if (d == nullptr) {
      throw std::bad_alloc();
    }
    fd_ = -1;
    return d;
  }

 private:
  int fd_;
};

struct Transfer {
  std::byte* data;
  std::size_t size;
};

long call_read(void* raw, int fd) noexcept {
  auto const& t = *static_cast<Transfer*>(raw);
  return recv(fd, t.data, std::min(t.size, kMostAtOnce), MSG_DONTWAIT);
}

long call_write(void* raw, int fd) noexcept {
  auto const& t = *static_cast<Transfer*>(raw);
  return send(fd, t.data, std::min(t.size, kMostAtOnce), MSG_DONTWAIT | MSG_NOSIGNAL);
}

long ask(int fd, short events) noexcept {
  pollfd one{fd, events, 0};
  int const count = poll(&one, 1, 0);
  if (count == 0) {
    errno = EAGAIN;
    return -1;
  }
  return count;
}

long call_ask(void* /*unused*/, int fd) noexcept { return ask(fd, POLLIN | POLLRDHUP); }

long call_connected(void* /*unused*/, int fd) noexcept {
  if (ask(fd, POLLOUT) < 0) {
    return -1;
  }
  int error = 0;
  socklen_t size = sizeof error;
  (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  errno = error;
  return error == 0 ? 0 : -1;
}

long call_accept(void* /*unused*/, int fd) noexcept {
  TsanIgnore const unseen;
  int const taken = accept4(fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (taken < 0 && errno == ECONNABORTED) {
    errno = EINTR;  // the next one
  }
  return taken;
}

// Of a number that is not connected yet.
detail::NetDescriptor* connect_to(const Address& address, const char* kind,
                                  std::error_code& error) {
  OwnNumber number(open_socket(static_cast<const sockaddr*>(address.raw())->sa_family));
  if (number.get() < 0) {
    error = system_code(errno);
    return nullptr;
  }
  error.clear();
  int const result = connect(number.get(), static_cast<const sockaddr*>(address.raw()),
                             static_cast<socklen_t>(address.raw_size()));
  int const failure = result == 0 ? 0 : errno;
  if (failure != 0 && failure != EINPROGRESS && failure != EINTR) {
    error = system_code(failure);
    return nullptr;
  }
  detail::NetDescriptor* d = number.hand_on(kind);
  if (failure != 0) {
    detail::NetLimit limit;
    try {
      (void)operate(*d, d->write, &call_connected, nullptr, limit, error);
    } catch (...) {
      hamgam::detail::release_descriptor(d);
      throw;
    }
    if (error) {
      hamgam::detail::release_descriptor(d);
      return nullptr;
    }
  }
  return d;
}

detail::NetDescriptor* listen_at(const Address& address, const char* kind) {
  OwnNumber number(open_socket(static_cast<const sockaddr*>(address.raw())->sa_family));
  if (number.get() < 0) {
    fail(system_code(errno), "listen " + address.to_string());
  }
  set_option(number.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  if (address.is_ipv6()) {
    set_option(number.get(), IPPROTO_IPV6, IPV6_V6ONLY, 0);
  }
  if (bind(number.get(), static_cast<const sockaddr*>(address.raw()),
           static_cast<socklen_t>(address.raw_size())) != 0 ||
      listen(number.get(), INT_MAX) != 0) {  // the kernel cuts it to somaxconn
    fail(system_code(errno), "listen " + address.to_string());
  }
  return number.hand_on(kind);
}

// Takes a connection off the listener's queue.
int accept_number(detail::NetDescriptor* d, const char* what) {
  using std::chrono::milliseconds;
  if (d == nullptr) {
    fail(make_error_code(Errc::closed), what);
  }
  milliseconds pause{5};
  for (;;) {
    std::error_code error;
    detail::NetLimit limit;
    long taken = 0;
    {
      std::lock_guard const guard(d->read.busy);
      taken = operate(*d, d->read, &call_accept, nullptr, limit, error);
    }
    if (taken >= 0) {
      return static_cast<int>(taken);
    }
    if (error != std::errc::too_many_files_open &&
        error != std::errc::too_many_files_open_in_system) {
      fail(error, what);
    }
    sleep(pause);
    pause = std::min(2 * pause, milliseconds{1000});
  }
}

}  // namespace

namespace detail {

Handle::Handle(const Handle& other) noexcept : d_(other.d_) {
  if (d_ != nullptr) {
    // relaxed: whoever copies a handle has one
    d_->handles.fetch_add(1, hamgam::detail::kRelaxed);
  }
}

Handle::~Handle() {
  if (d_ != nullptr) {
    hamgam::detail::release_descriptor(d_);
  }
}

void Handle::close() const noexcept {
  if (d_ != nullptr) {
    (void)close_descriptor(*d_);
  }
}

int Handle::fd() const noexcept {
  return d_ != nullptr && !hamgam::detail::is_closed(*d_) ? d_->fd : -1;
}

void Handle::set_deadline(TimePoint t) const {
  if (d_ == nullptr || hamgam::detail::is_closed(*d_)) {
    fail(make_error_code(Errc::closed), "set deadline");
  }
  Nanos const when = t.time_since_epoch().count();
  hamgam::detail::move_deadline(d_->read, when);
  hamgam::detail::move_deadline(d_->write, when);
}

void StreamHandle::set_read_deadline(TimePoint t) const {
  if (d_ == nullptr || hamgam::detail::is_closed(*d_)) {
    fail(make_error_code(Errc::closed), "set deadline");
  }
  hamgam::detail::move_deadline(d_->read, t.time_since_epoch().count());
}

void StreamHandle::set_write_deadline(TimePoint t) const {
  if (d_ == nullptr || hamgam::detail::is_closed(*d_)) {
    fail(make_error_code(Errc::closed), "set deadline");
  }
  hamgam::detail::move_deadline(d_->write, t.time_since_epoch().count());
}

std::size_t StreamHandle::move(Do what, std::byte* data, std::size_t size, NetLimit& limit,
                               std::error_code& e) const {
  e.clear();
  if (d_ == nullptr) {
    e = make_error_code(Errc::closed);
    return 0;
  }
  bool const writes = what == Do::kWriteSome || what == Do::kWriteAll;
  bool const all = what == Do::kReadExact || what == Do::kWriteAll;
  if (size == 0) {
    return 0;
  }
  NetDirection& direction = writes ? d_->write : d_->read;
  if (!take_direction(direction, limit)) {
    return 0;
  }
  struct Give {
    NetDirection& direction;
    ~Give() { direction.busy.unlock(); }
  } const give{direction};
  hamgam::detail::NetCall const call = what == Do::kWaitReadable ? &call_ask
                                       : writes                  ? &call_write
                                                                 : &call_read;
  std::size_t done = 0;
  while (done < size) {
    Transfer t{data + done, size - done};
    long const count = operate(*d_, direction, call, &t, limit, e);
    if (count <= 0) {
      break;
    }
    done += static_cast<std::size_t>(count);
    if (!all) {
      break;
    }
  }
  return done;
}

void StreamHandle::fail_transfer(Do what, std::error_code code, std::size_t moved) const {
  bool const writes = what == Do::kWriteSome || what == Do::kWriteAll;
  std::string text = writes ? "write" : "read";
  if (d_ != nullptr) {
    text += std::string(" ") + d_->kind;
    if (enter_descriptor(*d_)) {
      Address const from = name_of(d_->fd, false);
      Address const to = name_of(d_->fd, true);
      leave_descriptor(*d_);
      std::string const names = from.to_string() + "->" + to.to_string();
      text += names != "->" ? " " + names : "";
    }
  }
  throw Error(code, text, moved);
}

std::size_t StreamHandle::checked(Do what, std::byte* data, std::size_t size) const {
  NetLimit limit;
  std::error_code e;
  std::size_t const done = move(what, data, size, limit, e);
  if (e) {
    fail_transfer(what, e, done);
  }
  return done;
}

std::size_t StreamHandle::coded(Do what, std::byte* data, std::size_t size,
                                std::error_code& e) const noexcept {
  NetLimit limit;
  try {
    return move(what, data, size, limit, e);
  } catch (const std::bad_alloc&) {
    e = std::make_error_code(std::errc::not_enough_memory);
    return 0;
  }
}

std::optional<std::size_t> StreamHandle::with_limit(Do what, std::byte* data, std::size_t size,
                                                    NetLimit& limit) const {
  std::error_code e;
  std::size_t const done = move(what, data, size, limit, e);
  if (e) {
    fail_transfer(what, e, done);
  }
  if (limit.gave_up && done == 0) {
    return std::nullopt;
  }
  return done;
}

std::optional<std::size_t> StreamHandle::limited(Do what, std::byte* data, std::size_t size,
                                                 std::int64_t deadline) const {
  NetLimit limit;
  limit.deadline = deadline;
  return with_limit(what, data, size, limit);
}

std::optional<std::size_t> StreamHandle::stoppable(Do what, std::byte* data, std::size_t size,
                                                   const std::stop_token& token) const {
  NetLimit limit;
  limit.token = &token;
  return with_limit(what, data, size, limit);
}

bool StreamHandle::idle() const noexcept {
  if (d_ == nullptr || !enter_descriptor(*d_)) {
    return false;
  }
  bool const quiet = ask(d_->fd, POLLIN | POLLRDHUP) < 0 && errno == EAGAIN;
  leave_descriptor(*d_);
  return quiet;
}

void StreamHandle::shutdown_read() const {
  with_number(d_, "shutdown", [](int fd) { (void)::shutdown(fd, SHUT_RD); });
}

void StreamHandle::shutdown_write() const {
  with_number(d_, "shutdown", [](int fd) { (void)::shutdown(fd, SHUT_WR); });
}

Address StreamHandle::local_address() const {
  return with_number(d_, "local address", [](int fd) { return name_of(fd, false); });
}

Address StreamHandle::remote_address() const {
  return with_number(d_, "remote address", [](int fd) { return name_of(fd, true); });
}

int StreamHandle::release() noexcept {
  int const fd = d_ != nullptr ? hamgam::detail::take_number(*d_) : -1;
  if (fd >= 0) {
    hamgam::detail::release_descriptor(std::exchange(d_, nullptr));
  }
  return fd;
}

bool wait_fd(int fd, bool write, std::int64_t deadline, const std::stop_token* token) {
  NetLimit limit;
  limit.deadline = deadline;
  limit.token = token;
  std::error_code error;
  bool const ready = hamgam::detail::wait_foreign(fd, write, limit, error);
  if (error) {
    net::fail(error, write ? "wait_writable" : "wait_readable");
  }
  return ready;
}

}  // namespace detail

TcpConn TcpConn::dial(std::string_view host_port) {
  std::error_code first = make_error_code(Errc::host_not_found);
  bool tried = false;
  for (const Address& address : resolve(host_port)) {
    std::error_code error;
    if (detail::NetDescriptor* d = connect_to(address, "tcp", error)) {
      set_up_tcp(d->fd);
      return TcpConn(d);
    }
    if (!tried) {
      first = error;
      tried = true;
    }
  }
  fail(first, "dial tcp " + std::string(host_port));
}

TcpConn TcpConn::adopt(int fd) {
  int const flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
    fail(system_code(errno), "adopt");
  }
  detail::NetDescriptor* d = open_descriptor(fd, "tcp");
  if (d == nullptr) {
    throw std::bad_alloc();
  }
  return TcpConn(d);
}

void TcpConn::set_no_delay(bool on) const {
  with_number(d_, "set_no_delay",
              [on](int fd) { set_option(fd, IPPROTO_TCP, TCP_NODELAY, on ? 1 : 0); });
}

void TcpConn::set_linger(std::optional<std::chrono::seconds> d) const {
  with_number(d_, "set_linger", [d](int fd) {
    linger const value{d.has_value() ? 1 : 0, d.has_value() ? static_cast<int>(d->count()) : 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &value, sizeof value);
  });
}

TcpListener TcpListener::bind(std::string_view host_port) {
  if (!host_port.empty() && host_port[0] != ':') {
    return TcpListener(listen_at(resolve(host_port).at(0), "tcp"));
  }
  std::string const port(host_port.empty() ? ":0" : host_port);
  try {
    return TcpListener(listen_at(resolve("[::]" + port).at(0), "tcp"));
  } catch (const Error& e) {
    if (e.code() != std::errc::address_family_not_supported &&
        e.code() != std::errc::address_not_available && e.code() != Errc::host_not_found) {
      throw;
    }
  }
  return TcpListener(listen_at(resolve("0.0.0.0" + port).at(0), "tcp"));  // without IPv6
}

TcpConn TcpListener::accept() const {
  OwnNumber number(accept_number(d_, "accept tcp"));
  set_up_tcp(number.get());
  return TcpConn(number.hand_on("tcp"));
}

Address TcpListener::address() const {
  return with_number(d_, "address", [](int fd) { return name_of(fd, false); });
}

UnixConn UnixConn::dial(std::string_view path) {
  std::error_code error;
  if (detail::NetDescriptor* d = connect_to(Address::parse(path), "unix", error)) {
    return UnixConn(d);
  }
  fail(error, "dial unix " + std::string(path));
}

UnixListener UnixListener::bind(std::string_view path) {
  return UnixListener(listen_at(Address::parse(path), "unix"));
}

UnixConn UnixListener::accept() const {
  OwnNumber number(accept_number(d_, "accept unix"));
  return UnixConn(number.hand_on("unix"));
}

Address UnixListener::address() const {
  return with_number(d_, "address", [](int fd) { return name_of(fd, false); });
}

std::pair<Pipe, Pipe> pipe() {
  int ends[2] = {-1, -1};
  {
    TsanIgnore const unseen;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) {
      fail(system_code(errno), "pipe");
    }
  }
  OwnNumber first(ends[0]);
  OwnNumber second(ends[1]);
  Pipe one(first.hand_on("pipe"));
  return {std::move(one), Pipe(second.hand_on("pipe"))};
}

}  // namespace hamgam::inline HAMGAM_ABI::net
