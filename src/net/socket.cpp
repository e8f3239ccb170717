// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <new>
#include <utility>

#include "hamgam/net.h"
#include "hamgam/time.h"
#include "net/descriptor.h"
#include "net/number.h"

namespace hamgam::inline HAMGAM_ABI::net {

using hamgam::detail::close_descriptor;
using hamgam::detail::Nanos;
using hamgam::detail::NetDirection;
using hamgam::detail::open_descriptor;
using hamgam::detail::operate;
using hamgam::detail::TsanIgnore;

namespace {

constexpr std::size_t kMostAtOnce = std::size_t{1} << 30;

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

// What is left of several pieces.
struct Rest {
  using One = std::span<const std::byte>;
  const One* first;
  const One* end;
  std::size_t used = 0;  // of the first

  // The next ones, at most kMost and not more than the kernel takes at once.
  static constexpr std::size_t kMost = 64;
  std::size_t next(iovec* parts) const noexcept {
    std::size_t count = 0;
    std::size_t total = 0;
    std::size_t offset = used;
    for (const One* piece = first; piece != end && count < kMost && total < kMostAtOnce; ++piece) {
      One const left = piece->subspan(std::exchange(offset, 0));
      if (!left.empty()) {
        std::size_t const size = std::min(left.size(), kMostAtOnce - total);
        parts[count++] = {const_cast<std::byte*>(left.data()), size};
        total += size;
      }
    }
    return count;
  }
  void skip(std::size_t size) noexcept {
    used += size;
    while (first != end && used >= first->size()) {
      used -= first->size();
      ++first;
    }
  }
};

long call_write_pieces(void* raw, int fd) noexcept {
  iovec parts[Rest::kMost];
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = static_cast<Rest*>(raw)->next(parts);
  return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

long ask(int fd, short events) noexcept {
  pollfd one{fd, events, 0};
  int count = 0;
  do {
    count = poll(&one, 1, 0);
  } while (count < 0 && errno == EINTR);
  if (count == 0) {
    errno = EAGAIN;
    return -1;
  }
  return count;
}

long call_ask(void* /*unused*/, int fd) noexcept { return ask(fd, POLLIN | POLLRDHUP); }

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

std::size_t StreamHandle::move_pieces(const ConstBytes* first, std::size_t count, NetLimit& limit,
                                      std::error_code& e) const noexcept {
  Rest rest{first, first + count};
  rest.skip(0);  // empty ones
  std::size_t done = 0;
  try {
    Directed const directed(d_->write, limit);
    while (directed && rest.first != rest.end) {
      long const sent = operate(*d_, d_->write, &call_write_pieces, &rest, limit, e);
      if (sent <= 0) {
        break;
      }
      done += static_cast<std::size_t>(sent);
      rest.skip(static_cast<std::size_t>(sent));
    }
  } catch (const std::bad_alloc&) {  // as in move()
    e = std::make_error_code(std::errc::not_enough_memory);
  }
  return done;
}

std::size_t StreamHandle::move(Do what, std::byte* data, std::size_t size, NetLimit& limit,
                               std::error_code& e) const noexcept {
  e.clear();
  if (d_ == nullptr || hamgam::detail::is_closed(*d_)) {
    e = make_error_code(Errc::closed);
    return 0;
  }
  bool const writes = what == Do::kWriteSome || what == Do::kWriteAll || what == Do::kWritePieces;
  NetDirection& direction = writes ? d_->write : d_->read;
  if (size == 0) {
    // relaxed: as if it was moved a moment later
    Nanos const deadline = direction.deadline.load(hamgam::detail::kRelaxed);
    if (deadline != hamgam::detail::kForever && deadline <= hamgam::detail::now()) {
      e = make_error_code(Errc::deadline);
    }
    return 0;
  }
  if (what == Do::kWritePieces) {
    return move_pieces(reinterpret_cast<const ConstBytes*>(data), size, limit, e);
  }
  bool const all = what == Do::kReadExact || what == Do::kWriteAll;
  hamgam::detail::NetCall const call = what == Do::kWaitReadable ? &call_ask
                                       : writes                  ? &call_write
                                                                 : &call_read;
  bool const is_tcp = std::string_view(d_->kind) == "tcp";
  std::size_t done = 0;
  try {
    Directed const directed(direction, limit);
    while (directed && done < size) {
      Transfer t{data + done, size - done};
      long const enough =
          call == &call_read && is_tcp ? static_cast<long>(std::min(t.size, kMostAtOnce)) : 0;
      long const count = operate(*d_, direction, call, &t, limit, e, enough);
      if (count <= 0) {
        break;
      }
      done += static_cast<std::size_t>(count);
      if (!all) {
        break;
      }
    }
  } catch (const std::bad_alloc&) {  // for a timer; what was moved is told nevertheless
    e = std::make_error_code(std::errc::not_enough_memory);
  }
  return done;
}

void StreamHandle::fail_transfer(Do what, std::error_code code, std::size_t moved) const {
  bool const writes = what == Do::kWriteSome || what == Do::kWriteAll || what == Do::kWritePieces;
  std::string text = writes ? "write" : "read";
  if (d_ != nullptr) {
    text += std::string(" ") + d_->kind;
    if (hamgam::detail::enter_descriptor(*d_)) {
      Address const from = name_of(d_->fd, false);
      Address const to = peer_of(*d_);
      hamgam::detail::leave_descriptor(*d_);
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
  return move(what, data, size, limit, e);
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
  if (d_ == nullptr || !hamgam::detail::enter_descriptor(*d_)) {
    return false;
  }
  bool const quiet = ask(d_->fd, POLLIN | POLLRDHUP) < 0 && errno == EAGAIN;
  hamgam::detail::leave_descriptor(*d_);
  return quiet;
}

std::stop_token StreamHandle::peer_gone() const {
  InCall const call(d_, "peer_gone");
  std::error_code error;
  std::stop_token token = hamgam::detail::watch_peer(*d_, error);
  if (error) {
    net::fail(error, "peer_gone");
  }
  return token;
}

void StreamHandle::shutdown_read() const {
  InCall const call(d_, "shutdown");
  (void)::shutdown(call.number(), SHUT_RD);
}

void StreamHandle::shutdown_write() const {
  InCall const call(d_, "shutdown");
  (void)::shutdown(call.number(), SHUT_WR);
}

Address StreamHandle::local_address() const {
  return name_of(InCall(d_, "local address").number(), false);
}

Address StreamHandle::remote_address() const { return InCall(d_, "remote address").peer(); }

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

TcpConn TcpConn::adopt(int fd) {
  int type = 0;
  int protocol = 0;
  for (auto [option, value] : {std::pair{SO_TYPE, &type}, std::pair{SO_PROTOCOL, &protocol}}) {
    socklen_t size = sizeof *value;
    if (getsockopt(fd, SOL_SOCKET, option, value, &size) != 0) {
      fail(system_code(errno), "adopt");
    }
  }
  int listens = 0;
  socklen_t listens_size = sizeof listens;
  (void)getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &listens_size);
  if (type != SOCK_STREAM || listens != 0) {  // a read must not end a message
    fail(system_code(EPROTOTYPE), "adopt");
  }
  sockaddr_storage peer{};
  socklen_t peer_size = sizeof peer;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &peer_size) != 0) {
    // Both ends may have said that they will send no more: what has come can still be read. Asked
    // so as not to take the socket's error.
    int const failure = errno;
    int unread = 0;
    if (failure != ENOTCONN || ioctl(fd, FIONREAD, &unread) != 0 || unread == 0) {
      fail(system_code(failure), "adopt");
    }
    peer_size = 0;
  }
  int const flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
    fail(system_code(errno), "adopt");
  }
  detail::NetDescriptor* d = open_descriptor(fd, protocol == IPPROTO_TCP ? "tcp" : "socket");
  if (d == nullptr) {
    throw std::bad_alloc();
  }
  keep_peer(*d, &peer, peer_size);
  return TcpConn(d);
}

void TcpConn::set_no_delay(bool on) const {
  set_option(InCall(d_, "set_no_delay").number(), IPPROTO_TCP, TCP_NODELAY, on ? 1 : 0);
}

void TcpConn::set_linger(std::optional<std::chrono::seconds> d) const {
  InCall const call(d_, "set_linger");
  constexpr std::int64_t kMost = 65535;
  std::int64_t const time = d.has_value() ? std::clamp<std::int64_t>(d->count(), 0, kMost) : 0;
  linger const value{d.has_value() ? 1 : 0, static_cast<int>(time)};
  (void)setsockopt(call.number(), SOL_SOCKET, SO_LINGER, &value, sizeof value);
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
