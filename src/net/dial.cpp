// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "net/dial.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <exception>
#include <mutex>
#include <utility>

#include "hamgam/chan.h"
#include "hamgam/go.h"
#include "hamgam/time.h"
#include "net/resolve.h"
#include "net/shared.h"
#include "os/spin_lock.h"
#include "wait/stop.h"

namespace hamgam::inline HAMGAM_ABI::net {

using hamgam::detail::kForever;
using hamgam::detail::Nanos;
using hamgam::detail::NetDescriptor;
using hamgam::detail::NetLimit;
using hamgam::detail::now;
using hamgam::detail::operate;
using hamgam::detail::release_descriptor;
using hamgam::detail::SpinLock;
using hamgam::detail::TsanIgnore;

namespace {

int clamped(std::chrono::seconds s) noexcept {
  return static_cast<int>(std::clamp<std::int64_t>(s.count(), 1, 32767));  // the kernel's limit
}

}  // namespace

void set_up_keep_alive(int fd, const KeepAlive& k) noexcept {
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, k.on ? 1 : 0);
  if (k.on) {
    set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, clamped(k.idle));
    set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, clamped(k.interval));
    set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, std::clamp(k.count, 1, 127));
  }
}

namespace {

constexpr int kTries = 3;
constexpr Nanos kLeastShare = 2'000'000'000;

const sockaddr* raw_of(const Address& a) noexcept { return static_cast<const sockaddr*>(a.raw()); }

socklen_t size_of(const Address& a) noexcept { return static_cast<socklen_t>(a.raw_size()); }

int open_socket(int family) noexcept {
  TsanIgnore const unseen;
  return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

long call_connected(void* /*unused*/, int fd) noexcept {
  pollfd one{fd, POLLOUT, 0};
  if (poll(&one, 1, 0) <= 0) {  // also when a signal came instead
    errno = EAGAIN;
    return -1;
  }
  int error = 0;
  socklen_t size = sizeof error;
  (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  errno = error;
  return error == 0 ? 0 : -1;
}

// A connection of somebody's own; null on failure.
class OwnDescriptor {
 public:
  explicit OwnDescriptor(NetDescriptor* d = nullptr) noexcept : d_(d) {}
  OwnDescriptor(OwnDescriptor&& other) noexcept : d_(other.release()) {}
  OwnDescriptor& operator=(OwnDescriptor&& other) noexcept {
    std::swap(d_, other.d_);
    return *this;
  }
  ~OwnDescriptor() {
    if (d_ != nullptr) {
      release_descriptor(d_);
    }
  }
  [[nodiscard]] NetDescriptor* get() const noexcept { return d_; }
  NetDescriptor* release() noexcept { return std::exchange(d_, nullptr); }

 private:
  NetDescriptor* d_;
};

// Ends the connecting of several, once and for all, by closing what they wait for. They take the
// descriptor out again before they give it up or on.
class Cancel {
 public:
  static constexpr int kMost = 2;

  // False: it is over.
  bool put(int who, NetDescriptor* d) noexcept {
    std::lock_guard const guard(lock_);
    connecting_[who] = d;
    return !over_;
  }
  [[nodiscard]] bool is_over() noexcept {
    std::lock_guard const guard(lock_);
    return over_;
  }
  void end() noexcept {
    std::lock_guard const guard(lock_);
    over_ = true;
    for (NetDescriptor* d : connecting_) {
      if (d != nullptr) {
        (void)hamgam::detail::close_descriptor(*d);
      }
    }
  }

 private:
  SpinLock lock_;
  bool over_ = false;
  NetDescriptor* connecting_[kMost] = {};
};

// Who dials, and what for.
struct Dialling {
  const DialOptions& options;
  Cancel* cancel = nullptr;
  int who = 0;
};

// Until it is connected.
bool finish(NetDescriptor* d, const Dialling& dialling, NetLimit& limit, std::error_code& error) {
  Cancel* const cancel = dialling.cancel;
  struct TakeOut {
    Cancel* cancel;
    int who;
    ~TakeOut() {
      if (cancel != nullptr) {
        (void)cancel->put(who, nullptr);
      }
    }
  } const take_out{cancel, dialling.who};
  if (cancel != nullptr && !cancel->put(dialling.who, d)) {
    error = make_error_code(Errc::closed);
    return false;
  }
  return operate(*d, d->write, &call_connected, nullptr, limit, error) >= 0;
}

// 0, or errno. A Unix socket whose listener has no room is told so at once, and no event will tell
// that there is: it asks again.
int start_to_connect(int fd, const Address& address) {
  constexpr Nanos kFirstPause = 1'000'000;
  constexpr Nanos kLongestPause = 50'000'000;
  for (Nanos pause = kFirstPause;; pause = std::min(2 * pause, kLongestPause)) {
    if (connect(fd, raw_of(address), size_of(address)) == 0) {
      return 0;
    }
    if (errno != EAGAIN || !address.is_unix()) {
      return errno;
    }
    hamgam::sleep(std::chrono::nanoseconds(pause));
  }
}

OwnDescriptor connect_once(const Address& address, const char* kind, const Dialling& dialling,
                           NetLimit& limit, std::error_code& error) {
  const DialOptions& options = dialling.options;
  error.clear();
  OwnNumber number(open_socket(raw_of(address)->sa_family));
  if (number.get() < 0) {
    error = system_code(errno);
    return OwnDescriptor();
  }
  if (options.before_connect) {
    options.before_connect(number.get());
  }
  if (options.local.has_value() &&
      bind(number.get(), raw_of(*options.local), size_of(*options.local)) != 0) {
    error = system_code(errno);
    return OwnDescriptor();
  }
  int const failure = start_to_connect(number.get(), address);
  if (failure != 0 && failure != EINPROGRESS && failure != EINTR) {
    error = system_code(failure);
    return OwnDescriptor();
  }
  OwnDescriptor d(number.hand_on(kind));
  if (failure != 0 && !finish(d.get(), dialling, limit, error)) {
    return OwnDescriptor();
  }
  return d;
}

// The kernel chose the very port that is dialled for our own end, and we are connected to
// ourselves; or it had none left for this address.
bool is_spurious(const OwnDescriptor& d, const Address& address, std::error_code error) {
  if (d.get() == nullptr) {
    return error == std::errc::address_not_available;
  }
  Address const here = name_of(d.get()->fd, false);
  return here.port() == address.port() && here == name_of(d.get()->fd, true);
}

// The peer has the very address that was dialled: it is not 0.0.0.0 or ::, which the kernel takes
// for this machine, nor one of a zone.
bool is_exact(const Address& address) noexcept {
  const sockaddr* const raw = raw_of(address);
  if (raw->sa_family == AF_INET) {
    return reinterpret_cast<const sockaddr_in*>(raw)->sin_addr.s_addr != INADDR_ANY;
  }
  auto const& six = *reinterpret_cast<const sockaddr_in6*>(raw);
  return IN6_IS_ADDR_UNSPECIFIED(&six.sin6_addr) == 0 &&
         IN6_IS_ADDR_LINKLOCAL(&six.sin6_addr) == 0 && six.sin6_scope_id == 0;
}

OwnDescriptor connect_tcp(const Address& address, const Dialling& dialling, NetLimit& limit,
                          std::error_code& error) {
  const DialOptions& options = dialling.options;
  bool const chosen = options.local.has_value() && options.local->port() != 0;
  for (int i = 1; i <= kTries; ++i) {
    OwnDescriptor d = connect_once(address, "tcp", dialling, limit, error);
    if (limit.gave_up) {
      return OwnDescriptor();
    }
    if (chosen || !is_spurious(d, address, error)) {
      if (d.get() != nullptr) {
        set_option(d.get()->fd, IPPROTO_TCP, TCP_NODELAY, options.no_delay ? 1 : 0);
        set_up_keep_alive(d.get()->fd, options.keep_alive);
        Address const peer = is_exact(address) ? address : name_of(d.get()->fd, true);
        keep_peer(*d.get(), peer.raw(), peer.raw_size());
      }
      return d;
    }
  }
  if (!error) {
    error = system_code(ECONNREFUSED);
  }
  return OwnDescriptor();
}

// One after the other. With a limit each has its share of the time that is left.
OwnDescriptor dial_in_turn(const std::vector<Address>& addresses, const Dialling& dialling,
                           NetLimit& limit, std::error_code& error) {
  const DialOptions& options = dialling.options;
  error = make_error_code(Errc::no_suitable_address);
  bool tried = false;
  bool const over = dialling.cancel != nullptr && dialling.cancel->is_over();
  for (std::size_t i = 0; i < addresses.size() && !over; ++i) {
    const Address& address = addresses[i];
    if (options.local.has_value() && options.local->is_ipv4() != address.is_ipv4()) {
      continue;
    }
    NetLimit share = limit;
    if (limit.deadline != kForever && i + 1 < addresses.size()) {
      Nanos const time = now();
      Nanos const each = (limit.deadline - time) / static_cast<Nanos>(addresses.size() - i);
      share.deadline = std::min(limit.deadline, time + std::max(each, kLeastShare));
    }
    std::error_code one;
    OwnDescriptor d = connect_tcp(address, dialling, share, one);
    if (d.get() != nullptr) {
      error.clear();
      return d;
    }
    if (dialling.cancel != nullptr && dialling.cancel->is_over()) {
      break;
    }
    bool const stopped = limit.token != nullptr && hamgam::detail::stop_requested(*limit.token);
    if (share.gave_up && (stopped || limit.deadline <= now())) {
      limit.gave_up = true;
      return d;
    }
    if (share.gave_up) {
      one = make_error_code(Errc::deadline);
    }
    if (!tried) {
      error = one;
      tried = true;
    }
  }
  return OwnDescriptor();
}

// What one family came to.
struct Lap {
  OwnDescriptor d;
  std::error_code error;
  bool first_family = false;
  std::exception_ptr thrown;
};

struct Race {
  explicit Race(const DialOptions& o) : options(o) {}
  Cancel cancel;
  const DialOptions options;
  Nanos deadline = kForever;
  Chan<Lap> results = make_chan<Lap>(Cancel::kMost);  // nobody waits for the loser
  Chan<Unit> first_failed = make_chan<Unit>();        // by its close
};

void start_lap(const Shared<Race>& race, std::vector<Address> addresses, bool first_family) {
  go([race, addresses = std::move(addresses), first_family] {
    Lap lap;
    lap.first_family = first_family;
    try {
      if (!first_family) {
        (void)race->first_failed.recv_for(race->options.fallback_delay);
      }
      NetLimit limit;
      limit.deadline = race->deadline;
      Dialling const dialling{race->options, &race->cancel, first_family ? 0 : 1};
      lap.d = dial_in_turn(addresses, dialling, limit, lap.error);
    } catch (...) {
      lap.thrown = std::current_exception();
    }
    race->results.send(std::move(lap));
  });
}

// As the limit says. Nothing: it gave up.
template <class T>
std::optional<T> recv_within(const Chan<T>& chan, NetLimit& limit) {
  TryRecv<T> got;
  if (limit.token != nullptr) {
    got = chan.recv(*limit.token);
  } else if (limit.deadline != kForever) {
    got = chan.recv_until(TimePoint(std::chrono::nanoseconds(limit.deadline)));
  } else {
    got.value = chan.recv();
  }
  limit.gave_up = !got.value.has_value();
  return std::move(got.value);
}

OwnDescriptor dial_both(std::vector<Address> first, std::vector<Address> second,
                        const DialOptions& options, NetLimit& limit, std::error_code& error) {
  Shared<Race> const race(std::in_place, options);
  race->deadline = limit.deadline;
  struct End {
    Race& race;
    bool failed = false;
    void tell_second() {
      if (!std::exchange(failed, true)) {
        race.first_failed.close();
      }
    }
    ~End() {
      race.cancel.end();
      tell_second();
    }
  } end{*race};
  start_lap(race, std::move(first), true);
  start_lap(race, std::move(second), false);
  for (int left = Cancel::kMost; left > 0; --left) {
    std::optional<Lap> lap = recv_within(race->results, limit);
    if (!lap.has_value()) {
      return OwnDescriptor();
    }
    if (lap->thrown) {
      std::rethrow_exception(lap->thrown);
    }
    if (lap->d.get() != nullptr) {
      error.clear();
      return std::move(lap->d);
    }
    if (lap->first_family || !error) {
      error = lap->error;
    }
    end.tell_second();
  }
  limit.gave_up = limit.deadline <= now();
  return OwnDescriptor();
}

}  // namespace

NetDescriptor* dial_addresses(const std::vector<Address>& addresses, const DialOptions& options,
                              NetLimit& limit, std::error_code& error) {
  error.clear();
  std::vector<Address> first;
  std::vector<Address> second;
  for (const Address& address : addresses) {
    (address.is_ipv4() == addresses[0].is_ipv4() ? first : second).push_back(address);
  }
  if (second.empty() || options.fallback_delay < std::chrono::milliseconds(0)) {
    return dial_in_turn(addresses, Dialling{options}, limit, error).release();
  }
  return dial_both(std::move(first), std::move(second), options, limit, error).release();
}

NetDescriptor* dial_tcp(std::string_view host_port, const DialOptions& options, NetLimit& limit,
                        std::error_code& error) {
  std::vector<Address> addresses;
  try {
    addresses = resolve_within(host_port, Transport::kTcp, limit);
  } catch (const Error& e) {
    error = e.code();
    return nullptr;
  }
  return limit.gave_up ? nullptr : dial_addresses(addresses, options, limit, error);
}

TcpConn TcpConn::dial(std::string_view host_port, std::error_code& e, const DialOptions& options) {
  e.clear();
  NetLimit limit;
  return TcpConn(dial_tcp(host_port, options, limit, e));
}

TcpConn TcpConn::dial(std::string_view host_port, const DialOptions& options) {
  std::error_code error;
  TcpConn conn = dial(host_port, error, options);
  if (error) {
    fail(error, "dial tcp " + std::string(host_port));
  }
  return conn;
}

std::optional<TcpConn> TcpConn::dial_limited(std::string_view host_port, const DialOptions& options,
                                             std::int64_t deadline, const std::stop_token* token) {
  NetLimit limit;
  limit.deadline = deadline;
  limit.token = token;
  std::error_code error;
  TcpConn conn(dial_tcp(host_port, options, limit, error));
  if (error && !limit.gave_up) {
    fail(error, "dial tcp " + std::string(host_port));
  }
  return conn ? std::optional(std::move(conn)) : std::nullopt;
}

void TcpConn::set_keep_alive(const KeepAlive& k) const {
  set_up_keep_alive(InCall(d_, "set_keep_alive").number(), k);
}

UnixConn UnixConn::dial(std::string_view path) {
  std::error_code error;
  NetLimit limit;
  OwnDescriptor d = connect_once(unix_address(path), "unix", Dialling{DialOptions()}, limit, error);
  if (d.get() == nullptr) {
    fail(error, "dial unix " + std::string(path));
  }
  return UnixConn(d.release());
}

}  // namespace hamgam::inline HAMGAM_ABI::net
