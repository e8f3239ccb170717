// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Sockets that park the goroutine, not the thread.
//
// TcpConn, TcpListener, UnixConn, UnixListener and Pipe are handles, as Chan is: copies are the
// same connection, any may close it, and the last to go closes it. One goroutine may read while
// others write, close or move a deadline; several may read or write, too, one after another, and
// the bytes of one write_all stay together. All works from plain threads as well. A handle must not
// be assigned to, nor destroyed, while another goroutine is in a call on that very handle: give it
// a copy.
//
// close() wakes everybody who waits with Errc::closed, and so fails all that comes later.
// set_deadline is Go's: it stays until it is moved; once past, all fails with Errc::deadline,
// although data is there, and whoever waits is woken. _for, _until and a std::stop_token belong to
// the call and end it only if it would have to wait. The earlier one counts. A time point of
// another clock than Clock is looked at once, when the call begins.
//
// What fails throws Error, or fills an std::error_code. Both come with the bytes that were moved.
// Where there is no memory for a connection, an address or a watch, both forms throw
// std::bad_alloc. A write to a peer that is gone never raises SIGPIPE.
//
// Who has waited for a second or two gives back the memory that his stack does not use: an idle
// connection costs a page of it, however deep its goroutine has been. (So another library's
// coroutine must not wait here on a stack that is a local array of a goroutine.)
//
// Nothing is ordered by bytes that travel through the kernel, as ThreadSanitizer sees it, but for
// what a descriptor's own reads and writes give there.

#include <array>
#include <chrono>
#include <compare>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "hamgam/detail/clock.h"
#include "hamgam/detail/config.h"
#include "hamgam/detail/deadline.h"

namespace hamgam::inline HAMGAM_ABI {

namespace detail {
struct NetDescriptor;
struct NetLimit;
}  // namespace detail

namespace net {

// Compares equal to std::errc::operation_canceled (closed), std::errc::timed_out (deadline) and
// std::errc::resource_unavailable_try_again (host_not_found_try_again).
enum class Errc {
  closed = 1,
  deadline,
  no_suitable_address,
  host_not_found,            // there is none of that name, or it has no address
  host_not_found_try_again,  // who knows names did not answer
  lookup_failed              // he did, with an error
};
// So that an Errc is a std::error_code.
HAMGAM_API const std::error_category& category() noexcept;
inline std::error_code make_error_code(Errc e) noexcept {
  return {static_cast<int>(e), category()};
}

// what(): "read tcp 10.0.0.1:5->10.0.0.2:80: Connection reset by peer".
class Error : public std::system_error {
 public:
  // The text is `what`, a colon and the code's message.
  Error(std::error_code code, const std::string& what, std::size_t transferred = 0)
      : std::system_error(code, what), text_(what + ": " + code.message()), bytes_(transferred) {}
  [[nodiscard]] const char* what() const noexcept override { return text_.c_str(); }
  // The bytes that were moved before it failed.
  [[nodiscard]] std::size_t transferred() const noexcept { return bytes_; }

 private:
  std::string text_;
  std::size_t bytes_;
};

// A value: IPv4, IPv6 or Unix.
class Address {
 public:
  Address() noexcept = default;
  // Numeric only, never asks a resolver: "127.0.0.1:80", "[::1%eth0]:80", "/run/x", "@abstract".
  // IPv4's in IPv6's form, ::ffff:10.0.0.1, is IPv4's. Throws Error, Errc::no_suitable_address.
  HAMGAM_API static Address parse(std::string_view text);
  // From a sockaddr. Empty if it is larger than any of these.
  HAMGAM_API static Address from_raw(const void* raw, std::size_t size) noexcept;

  // As parse() takes it; the host and the port alone (0 if there is none); which kind it is.
  [[nodiscard]] HAMGAM_API std::string to_string() const;
  [[nodiscard]] HAMGAM_API std::string host() const;
  [[nodiscard]] HAMGAM_API std::uint16_t port() const noexcept;
  [[nodiscard]] HAMGAM_API bool is_ipv4() const noexcept;
  [[nodiscard]] HAMGAM_API bool is_ipv6() const noexcept;
  [[nodiscard]] HAMGAM_API bool is_unix() const noexcept;
  friend auto operator<=>(const Address&, const Address&) = default;

  // The sockaddr.
  [[nodiscard]] const void* raw() const noexcept { return bytes_.data(); }
  [[nodiscard]] std::size_t raw_size() const noexcept { return size_; }

 private:
  static constexpr std::size_t kMost = 110;  // of sockaddr_un

  alignas(8) std::array<unsigned char, kMost> bytes_{};  // zeros behind it
  std::uint8_t size_ = 0;
};

namespace detail {

using hamgam::detail::NetDescriptor;
using hamgam::detail::NetLimit;

// The reference that every handle is.
class HAMGAM_API Handle {
 public:
  // False: made by default, moved from or released.
  [[nodiscard]] explicit operator bool() const noexcept { return d_ != nullptr; }
  [[nodiscard]] friend bool operator==(const Handle& a, const Handle& b) noexcept {
    return a.d_ == b.d_;
  }
  // Wakes all who wait. A second time does nothing. Does not wait for the network.
  void close() const noexcept;
  // For setting options; -1 once closed.
  [[nodiscard]] int fd() const noexcept;
  // max(): none.
  void set_deadline(TimePoint t) const;

 protected:
  Handle() noexcept = default;
  explicit Handle(NetDescriptor* d) noexcept : d_(d) {}
  Handle(const Handle& other) noexcept;
  Handle(Handle&& other) noexcept : d_(std::exchange(other.d_, nullptr)) {}
  Handle& operator=(const Handle& other) noexcept {
    Handle copy(other);
    std::swap(d_, copy.d_);
    return *this;
  }
  Handle& operator=(Handle&& other) noexcept {
    Handle moved(std::move(other));
    std::swap(d_, moved.d_);
    return *this;
  }
  ~Handle();

  NetDescriptor* d_ = nullptr;
};

class StreamHandle;
HAMGAM_API std::uint64_t copy_file(int file, const StreamHandle& sink, std::uint64_t most);
HAMGAM_API std::uint64_t copy_stream(const StreamHandle& source, const StreamHandle& sink);

// A stream of bytes.
class HAMGAM_API StreamHandle : public Handle {
 public:
  // Where it is read to, and what is written.
  using Bytes = std::span<std::byte>;
  using ConstBytes = std::span<const std::byte>;

  // What there is, waiting for at least a byte. 0: end of stream, or an empty span.
  std::size_t read_some(Bytes b) const { return checked(Do::kReadSome, b.data(), b.size()); }
  std::size_t read_some(Bytes b, std::error_code& e) const noexcept {
    return coded(Do::kReadSome, b.data(), b.size(), e);
  }
  // Less than asked: the stream ended.
  std::size_t read_exact(Bytes b) const { return checked(Do::kReadExact, b.data(), b.size()); }
  std::size_t read_exact(Bytes b, std::error_code& e) const noexcept {
    return coded(Do::kReadExact, b.data(), b.size(), e);
  }
  std::size_t write_some(ConstBytes b) const { return checked(Do::kWriteSome, data(b), b.size()); }
  std::size_t write_some(ConstBytes b, std::error_code& e) const noexcept {
    return coded(Do::kWriteSome, data(b), b.size(), e);
  }
  void write_all(ConstBytes b) const { (void)checked(Do::kWriteAll, data(b), b.size()); }
  // The bytes that went out, also on failure.
  std::size_t write_all(ConstBytes b, std::error_code& e) const noexcept {
    return coded(Do::kWriteAll, data(b), b.size(), e);
  }

  // Several pieces, one after another as if they were one, up to 64 by each system call.
  struct Pieces {  // not from {}, which is no byte at all
    template <std::convertible_to<std::span<const ConstBytes>> P>
    Pieces(const P& pieces) noexcept : all(pieces) {}  // NOLINT: as a span
    std::span<const ConstBytes> all;
  };
  void write_all(Pieces pieces) const {
    (void)checked(Do::kWritePieces, data(pieces), pieces.all.size());
  }
  std::size_t write_all(Pieces pieces, std::error_code& e) const noexcept {
    return coded(Do::kWritePieces, data(pieces), pieces.all.size(), e);
  }

  // Nothing: it gave up before any byte. read_exact and write_all tell the bytes that were moved
  // when they give up later: fewer than asked.
  template <class R, class P>
  std::optional<std::size_t> read_some_for(Bytes b, const std::chrono::duration<R, P>& d) const {
    return limited(Do::kReadSome, b.data(), b.size(), hamgam::detail::deadline_after(d));
  }
  template <class C, class D>
  std::optional<std::size_t> read_some_until(Bytes b,
                                             const std::chrono::time_point<C, D>& t) const {
    return limited(Do::kReadSome, b.data(), b.size(), hamgam::detail::deadline_at(t));
  }
  std::optional<std::size_t> read_some(Bytes b, const std::stop_token& token) const {
    return stoppable(Do::kReadSome, b.data(), b.size(), token);
  }
  template <class R, class P>
  std::optional<std::size_t> read_exact_for(Bytes b, const std::chrono::duration<R, P>& d) const {
    return limited(Do::kReadExact, b.data(), b.size(), hamgam::detail::deadline_after(d));
  }
  std::optional<std::size_t> read_exact(Bytes b, const std::stop_token& token) const {
    return stoppable(Do::kReadExact, b.data(), b.size(), token);
  }
  template <class C, class D>
  std::optional<std::size_t> read_exact_until(Bytes b,
                                              const std::chrono::time_point<C, D>& t) const {
    return limited(Do::kReadExact, b.data(), b.size(), hamgam::detail::deadline_at(t));
  }
  template <class R, class P>
  std::optional<std::size_t> write_some_for(ConstBytes b,
                                            const std::chrono::duration<R, P>& d) const {
    return limited(Do::kWriteSome, data(b), b.size(), hamgam::detail::deadline_after(d));
  }
  template <class C, class D>
  std::optional<std::size_t> write_some_until(ConstBytes b,
                                              const std::chrono::time_point<C, D>& t) const {
    return limited(Do::kWriteSome, data(b), b.size(), hamgam::detail::deadline_at(t));
  }
  std::optional<std::size_t> write_some(ConstBytes b, const std::stop_token& token) const {
    return stoppable(Do::kWriteSome, data(b), b.size(), token);
  }
  template <class R, class P>
  std::optional<std::size_t> write_all_for(ConstBytes b,
                                           const std::chrono::duration<R, P>& d) const {
    return limited(Do::kWriteAll, data(b), b.size(), hamgam::detail::deadline_after(d));
  }
  template <class C, class D>
  std::optional<std::size_t> write_all_until(ConstBytes b,
                                             const std::chrono::time_point<C, D>& t) const {
    return limited(Do::kWriteAll, data(b), b.size(), hamgam::detail::deadline_at(t));
  }
  std::optional<std::size_t> write_all(ConstBytes b, const std::stop_token& token) const {
    return stoppable(Do::kWriteAll, data(b), b.size(), token);
  }
  template <class R, class P>
  std::optional<std::size_t> write_all_for(Pieces pieces,
                                           const std::chrono::duration<R, P>& d) const {
    return limited(Do::kWritePieces, data(pieces), pieces.all.size(),
                   hamgam::detail::deadline_after(d));
  }
  template <class C, class D>
  std::optional<std::size_t> write_all_until(Pieces pieces,
                                             const std::chrono::time_point<C, D>& t) const {
    return limited(Do::kWritePieces, data(pieces), pieces.all.size(),
                   hamgam::detail::deadline_at(t));
  }
  std::optional<std::size_t> write_all(Pieces pieces, const std::stop_token& token) const {
    return stoppable(Do::kWritePieces, data(pieces), pieces.all.size(), token);
  }

  // Until there is something to read, or the end. Before taking a buffer: idle connections hold
  // none.
  void wait_readable() const { (void)checked(Do::kWaitReadable, nullptr, 1); }
  // Open and nothing unread: fit to be kept in a ResourcePool.
  [[nodiscard]] bool idle() const noexcept;
  // Stops when the peer hangs up, or the connection is closed here later (one that is closed
  // already throws): ends work whose result nobody will read. A peer that only says that it has no
  // more to send (shutdown_write) looks the same. Callbacks run in a goroutine of their own.
  [[nodiscard]] std::stop_token peer_gone() const;

  // As set_deadline, of reading or of writing only.
  void set_read_deadline(TimePoint t) const;
  void set_write_deadline(TimePoint t) const;
  // No more will be read here; or written, which the peer sees as the end of the stream.
  void shutdown_read() const;
  void shutdown_write() const;
  // Of this end, and of the other, which is known also when the connection is broken.
  [[nodiscard]] Address local_address() const;
  [[nodiscard]] Address remote_address() const;
  // The descriptor becomes the caller's, and this one closed: who waits gets Errc::closed. -1 if it
  // is closed, or somebody is in a system call on it this very moment.
  [[nodiscard]] int release() noexcept;

 protected:
  using Handle::Handle;

 private:
  friend std::uint64_t copy_file(int file, const StreamHandle& sink, std::uint64_t most);
  friend std::uint64_t copy_stream(const StreamHandle& source, const StreamHandle& sink);

  enum class Do : std::uint8_t {
    kReadSome,
    kReadExact,
    kWriteSome,
    kWriteAll,
    kWritePieces,  // `data` is the first piece, `size` how many
    kWaitReadable
  };

  static std::byte* data(ConstBytes b) noexcept { return const_cast<std::byte*>(b.data()); }
  static std::byte* data(Pieces p) noexcept {
    return reinterpret_cast<std::byte*>(const_cast<ConstBytes*>(p.all.data()));
  }
  std::size_t checked(Do what, std::byte* data, std::size_t size) const;
  std::size_t coded(Do what, std::byte* data, std::size_t size, std::error_code& e) const noexcept;
  std::optional<std::size_t> limited(Do what, std::byte* data, std::size_t size,
                                     std::int64_t deadline) const;
  std::optional<std::size_t> stoppable(Do what, std::byte* data, std::size_t size,
                                       const std::stop_token& token) const;
  std::optional<std::size_t> with_limit(Do what, std::byte* data, std::size_t size,
                                        NetLimit& limit) const;
  std::size_t move(Do what, std::byte* data, std::size_t size, NetLimit& limit,
                   std::error_code& e) const noexcept;
  std::size_t move_pieces(const ConstBytes* first, std::size_t count, NetLimit& limit,
                          std::error_code& e) const noexcept;
  [[noreturn]] void fail_transfer(Do what, std::error_code code, std::size_t moved) const;
};

}  // namespace detail

// When a connection is silent the peer is asked whether it is there.
struct KeepAlive {
  bool on = true;
  std::chrono::seconds idle{15};      // before the first question
  std::chrono::seconds interval{15};  // between questions
  int count = 9;                      // that many unanswered ones end the connection
};

// How a connection is made.
struct DialOptions {
  std::optional<Address> local{};
  // Between the families of a name's addresses; negative: one after the other.
  std::chrono::milliseconds fallback_delay{300};
  KeepAlive keep_alive{};
  bool no_delay = true;  // TCP_NODELAY
  // With the socket, before it is bound and connected. May be called for several at once.
  std::function<void(int fd)> before_connect{};
};

// How a listener is made.
struct ListenOptions {
  int backlog = 0;  // 0: the system's limit
  bool reuse_port = false;
  KeepAlive keep_alive{};  // of the connections
  std::function<void(int fd)> before_bind{};
};

class HAMGAM_API TcpConn : public detail::StreamHandle {
 public:
  TcpConn() noexcept = default;  // not connected: everything fails with Errc::closed
  // A name's addresses are tried in turn; if they are of both families (RFC 8305), the second
  // family's beside the first one's as soon as these have failed or fallback_delay is over, and the
  // first connection counts. An empty host is this one. A numeric host asks no resolver. Fails with
  // what became of the first address. Blocks until connected; the system gives up after some
  // minutes.
  static TcpConn dial(std::string_view host_port, const DialOptions& options = {});
  // Empty on failure.
  static TcpConn dial(std::string_view host_port, std::error_code& e,
                      const DialOptions& options = {});
  // Nothing: it gave up, and no socket is left. Several addresses share the time, with 2 s each at
  // least. A lookup goes on in the background. A stop after the return changes nothing.
  template <class R, class P>
  [[nodiscard]] static std::optional<TcpConn> dial_for(std::string_view host_port,
                                                       const std::chrono::duration<R, P>& d,
                                                       const DialOptions& options = {}) {
    return dial_limited(host_port, options, hamgam::detail::deadline_after(d), nullptr);
  }
  template <class C, class D>
  [[nodiscard]] static std::optional<TcpConn> dial_until(std::string_view host_port,
                                                         const std::chrono::time_point<C, D>& t,
                                                         const DialOptions& options = {}) {
    return dial_limited(host_port, options, hamgam::detail::deadline_at(t), nullptr);
  }
  [[nodiscard]] static std::optional<TcpConn> dial(std::string_view host_port,
                                                   const std::stop_token& token,
                                                   const DialOptions& options = {}) {
    return dial_limited(host_port, options, hamgam::detail::kNoDeadline, &token);
  }
  // A connected socket, which is made non-blocking and is the library's from here on. One of
  // another stream protocol will do. Throws Error if it is none (EPROTOTYPE; ENOTCONN: one that is
  // not connected, and has nothing more to read), and has not taken it then.
  static TcpConn adopt(int fd);
  void set_no_delay(bool on) const;
  void set_keep_alive(const KeepAlive& k) const;
  // Nothing: as usual; 0: close() resets the connection; more: whoever closes waits that long, with
  // the thread, for what was written to be taken.
  void set_linger(std::optional<std::chrono::seconds> d) const;

 private:
  using StreamHandle::StreamHandle;
  friend class TcpListener;
  static std::optional<TcpConn> dial_limited(std::string_view host_port, const DialOptions& options,
                                             std::int64_t deadline, const std::stop_token* token);
};

class HAMGAM_API TcpListener : public detail::Handle {
 public:
  TcpListener() noexcept = default;
  // "127.0.0.1:0"; an empty host: all addresses, of both families if there is IPv6; a name: the
  // first of its addresses that this machine has.
  static TcpListener bind(std::string_view host_port, const ListenOptions& options = {});
  // At the limit of descriptors it says so once, on standard error, and tries again after 5 ms and
  // so on up to 1 s.
  [[nodiscard]] TcpConn accept() const;
  // Empty on failure.
  [[nodiscard]] TcpConn accept(std::error_code& e) const;
  // Nothing: it gave up, and lost no connection.
  template <class R, class P>
  [[nodiscard]] std::optional<TcpConn> accept_for(const std::chrono::duration<R, P>& d) const {
    return accept_limited(hamgam::detail::deadline_after(d), nullptr);
  }
  template <class C, class D>
  [[nodiscard]] std::optional<TcpConn> accept_until(const std::chrono::time_point<C, D>& t) const {
    return accept_limited(hamgam::detail::deadline_at(t), nullptr);
  }
  [[nodiscard]] std::optional<TcpConn> accept(const std::stop_token& token) const {
    return accept_limited(hamgam::detail::kNoDeadline, &token);
  }
  [[nodiscard]] Address address() const;

 private:
  using Handle::Handle;
  std::optional<TcpConn> accept_limited(std::int64_t deadline, const std::stop_token* token) const;
};

class HAMGAM_API UnixConn : public detail::StreamHandle {
 public:
  UnixConn() noexcept = default;
  // Blocks until connected. "@name" is one of the abstract names.
  static UnixConn dial(std::string_view path);
  // An open file for the peer, which gets a number of its own for it; with one byte, as any other
  // of the stream. The caller's number stays the caller's.
  void send_fd(int fd) const;
  void send_fd(int fd, std::error_code& e) const noexcept;
  // The next byte of the stream, and the file that comes with it, which is the caller's from here
  // on, is closed on exec, and blocks or not as its sender had it. -1: the end of the stream. Fails
  // with std::errc::bad_message if no file is there, and with too_many_files_open if there is no
  // number for it; the byte, and the file, are gone. Further files that come with the byte are
  // closed.
  [[nodiscard]] int receive_fd() const;
  [[nodiscard]] int receive_fd(std::error_code& e) const noexcept;

 private:
  using StreamHandle::StreamHandle;
  friend class UnixListener;
};

// A path is not removed by the destructor; remove it before bind.
class HAMGAM_API UnixListener : public detail::Handle {
 public:
  UnixListener() noexcept = default;
  // "@name" is one of the abstract names.
  static UnixListener bind(std::string_view path);
  // As TcpListener's.
  [[nodiscard]] UnixConn accept() const;
  // Empty on failure.
  [[nodiscard]] UnixConn accept(std::error_code& e) const;
  // Nothing: it gave up, and lost no connection.
  template <class R, class P>
  [[nodiscard]] std::optional<UnixConn> accept_for(const std::chrono::duration<R, P>& d) const {
    return accept_limited(hamgam::detail::deadline_after(d), nullptr);
  }
  template <class C, class D>
  [[nodiscard]] std::optional<UnixConn> accept_until(const std::chrono::time_point<C, D>& t) const {
    return accept_limited(hamgam::detail::deadline_at(t), nullptr);
  }
  [[nodiscard]] std::optional<UnixConn> accept(const std::stop_token& token) const {
    return accept_limited(hamgam::detail::kNoDeadline, &token);
  }
  [[nodiscard]] Address address() const;

 private:
  using Handle::Handle;
  std::optional<UnixConn> accept_limited(std::int64_t deadline, const std::stop_token* token) const;
};

class HAMGAM_API Pipe : public detail::StreamHandle {
 public:
  Pipe() noexcept = default;

 private:
  using StreamHandle::StreamHandle;
  friend HAMGAM_API std::pair<Pipe, Pipe> pipe();
};

// Two ends of a connection without a network, for tests.
[[nodiscard]] HAMGAM_API std::pair<Pipe, Pipe> pipe();

// TcpConn, UnixConn, Pipe, and whatever else reads and writes so.
template <class T>
concept Source = requires(const T& t, std::span<std::byte> b) {
  { t.read_some(b) } -> std::convertible_to<std::size_t>;
};
template <class T>
concept Sink = requires(const T& t, std::span<const std::byte> b) { t.write_all(b); };
template <class T>
concept Stream = Source<T> && Sink<T> && requires(const T& t, TimePoint when) {
  t.set_deadline(when);
  t.close();
};

// To the end of the source; how many bytes. Limits are the streams' deadlines. It waits for one of
// the two at a time, and hears of the other's end, deadline or close when it comes to that, as Go's
// io.Copy: to end it, close both. Of two of ours the kernel moves the bytes (splice), through a
// pipe that takes two descriptors. Throws Error, which tells the bytes that the sink has taken;
// others may then be lost on the way.
template <Source From, Sink To>
std::uint64_t copy(const From& source, const To& sink) {
  if constexpr (std::is_base_of_v<detail::StreamHandle, From> &&
                std::is_base_of_v<detail::StreamHandle, To>) {
    return detail::copy_stream(source, sink);
  } else {
    std::vector<std::byte> buffer(std::size_t{1} << 16);
    std::uint64_t moved = 0;
    std::size_t got = 0;
    bool reads = true;
    try {
      while ((got = source.read_some(buffer)) != 0) {
        reads = false;
        sink.write_all(std::span<const std::byte>(buffer).first(got));
        reads = true;
        moved += got;
      }
    } catch (const Error& e) {
      throw Error(e.code(), "copy", moved + (reads ? 0 : e.transferred()));
    }
    return moved;
  }
}

// From where the open file stands, which moves on, to its end or for so many bytes. The kernel
// moves them (sendfile), but from pipes, terminals and the like.
template <class To>
  requires std::is_base_of_v<detail::StreamHandle, To>
std::uint64_t copy(int file, const To& sink, std::uint64_t most = UINT64_MAX) {
  return detail::copy_file(file, sink, most);
}

namespace detail {
HAMGAM_API std::optional<std::vector<Address>> resolve_limited(std::string_view host_port,
                                                               std::int64_t deadline,
                                                               const std::stop_token* token);
}  // namespace detail

// A name's addresses, with the port, by the system's resolver (getaddrinfo) in blocking():
// "example.org:80", "localhost:http". Of what is a number nobody is asked. All who ask for the same
// at the same time share one lookup, and at most 32 of these are under way; others queue. Throws
// Error: Errc::host_not_found, host_not_found_try_again and lookup_failed, or the system's error if
// it was that; Errc::no_suitable_address if it is no host and port.
[[nodiscard]] HAMGAM_API std::vector<Address> resolve(std::string_view host_port);
// Nothing: it gave up, alone. The lookup goes on for the others.
template <class R, class P>
[[nodiscard]] std::optional<std::vector<Address>> resolve_for(
    std::string_view host_port, const std::chrono::duration<R, P>& d) {
  return detail::resolve_limited(host_port, hamgam::detail::deadline_after(d), nullptr);
}
template <class C, class D>
[[nodiscard]] std::optional<std::vector<Address>> resolve_until(
    std::string_view host_port, const std::chrono::time_point<C, D>& t) {
  return detail::resolve_limited(host_port, hamgam::detail::deadline_at(t), nullptr);
}
[[nodiscard]] inline std::optional<std::vector<Address>> resolve(std::string_view host_port,
                                                                 const std::stop_token& token) {
  return detail::resolve_limited(host_port, hamgam::detail::kNoDeadline, &token);
}

namespace detail {
HAMGAM_API bool wait_fd(int fd, bool write, std::int64_t deadline, const std::stop_token* token);
}  // namespace detail

// Until a descriptor that is another library's is ready, at its end or broken: as poll(), a hint.
// Any number of waiters in both directions. The file must stay open while one waits, the number
// need not. _for, _until and with a token: false if it gave up. Throws Error.
inline bool wait_readable(int fd) {
  return detail::wait_fd(fd, false, hamgam::detail::kNoDeadline, nullptr);
}
inline bool wait_writable(int fd) {
  return detail::wait_fd(fd, true, hamgam::detail::kNoDeadline, nullptr);
}
[[nodiscard]] inline bool wait_readable(int fd, const std::stop_token& token) {
  return detail::wait_fd(fd, false, hamgam::detail::kNoDeadline, &token);
}
[[nodiscard]] inline bool wait_writable(int fd, const std::stop_token& token) {
  return detail::wait_fd(fd, true, hamgam::detail::kNoDeadline, &token);
}
template <class R, class P>
[[nodiscard]] bool wait_readable_for(int fd, const std::chrono::duration<R, P>& d) {
  return detail::wait_fd(fd, false, hamgam::detail::deadline_after(d), nullptr);
}
template <class R, class P>
[[nodiscard]] bool wait_writable_for(int fd, const std::chrono::duration<R, P>& d) {
  return detail::wait_fd(fd, true, hamgam::detail::deadline_after(d), nullptr);
}
template <class C, class D>
[[nodiscard]] bool wait_readable_until(int fd, const std::chrono::time_point<C, D>& t) {
  return hamgam::detail::attempt_until(
      t, [fd](std::int64_t end) { return detail::wait_fd(fd, false, end, nullptr); });
}
template <class C, class D>
[[nodiscard]] bool wait_writable_until(int fd, const std::chrono::time_point<C, D>& t) {
  return hamgam::detail::attempt_until(
      t, [fd](std::int64_t end) { return detail::wait_fd(fd, true, end, nullptr); });
}

// A socket for datagrams. Each is sent and received as a whole, an empty one too; they may be lost,
// doubled and overtaken. One goroutine may receive while others send, close or move a deadline.
class HAMGAM_API UdpSocket : public detail::Handle {
 public:
  // Where it is received, and what is sent.
  using Bytes = std::span<std::byte>;
  using ConstBytes = std::span<const std::byte>;

  // A datagram that came, and who sent it.
  struct Received {
    std::size_t bytes = 0;
    Address from;
    bool truncated = false;  // it was longer than the room given, and the rest is lost
  };

  UdpSocket() noexcept = default;  // not open: everything fails with Errc::closed
  // "127.0.0.1:0"; an empty host: all addresses, of both families if there is IPv6.
  static UdpSocket bind(std::string_view host_port);
  // To one peer: send and receive without addresses, and of nobody else. Nothing is sent; that
  // nobody is there may be told by a later call as connection_refused. So it is the first address
  // that the system has a way to; an empty host is this one, by IPv4 if there is that.
  static UdpSocket connect(std::string_view host_port);

  // Waits for a datagram.
  Received receive_from(Bytes b) const;
  Received receive_from(Bytes b, std::error_code& e) const noexcept;
  // What does not fit into a datagram fails with std::errc::message_size.
  void send_to(ConstBytes b, const Address& to) const;
  void send_to(ConstBytes b, const Address& to, std::error_code& e) const noexcept;
  std::size_t receive(Bytes b) const { return receive_from(b).bytes; }
  std::size_t receive(Bytes b, std::error_code& e) const noexcept {
    return receive_from(b, e).bytes;
  }
  void send(ConstBytes b) const;
  void send(ConstBytes b, std::error_code& e) const noexcept;

  // Nothing, or false: it gave up.
  template <class R, class P>
  std::optional<Received> receive_from_for(Bytes b, const std::chrono::duration<R, P>& d) const {
    return receive_limited(b, hamgam::detail::deadline_after(d), nullptr);
  }
  template <class C, class D>
  std::optional<Received> receive_from_until(Bytes b,
                                             const std::chrono::time_point<C, D>& t) const {
    return receive_limited(b, hamgam::detail::deadline_at(t), nullptr);
  }
  std::optional<Received> receive_from(Bytes b, const std::stop_token& token) const {
    return receive_limited(b, hamgam::detail::kNoDeadline, &token);
  }
  template <class R, class P>
  [[nodiscard]] bool send_to_for(ConstBytes b, const Address& to,
                                 const std::chrono::duration<R, P>& d) const {
    return send_limited(b, to, hamgam::detail::deadline_after(d), nullptr);
  }
  template <class C, class D>
  [[nodiscard]] bool send_to_until(ConstBytes b, const Address& to,
                                   const std::chrono::time_point<C, D>& t) const {
    return send_limited(b, to, hamgam::detail::deadline_at(t), nullptr);
  }
  [[nodiscard]] bool send_to(ConstBytes b, const Address& to, const std::stop_token& token) const {
    return send_limited(b, to, hamgam::detail::kNoDeadline, &token);
  }

  // As set_deadline, of receiving or of sending only.
  void set_read_deadline(TimePoint t) const;
  void set_write_deadline(TimePoint t) const;
  // Of this end, and of the peer of connect().
  [[nodiscard]] Address local_address() const;
  [[nodiscard]] Address remote_address() const;

 private:
  using Handle::Handle;
  std::optional<Received> receive_limited(Bytes b, std::int64_t deadline,
                                          const std::stop_token* token) const;
  bool send_limited(ConstBytes b, const Address& to, std::int64_t deadline,
                    const std::stop_token* token) const;
  Received take(Bytes b, detail::NetLimit& limit, std::error_code& e) const noexcept;
  void give(ConstBytes b, const Address* to, detail::NetLimit& limit,
            std::error_code& e) const noexcept;
  [[noreturn]] void fail_with(const char* what, std::error_code code, const Address* to) const;
};

}  // namespace net
}  // namespace hamgam::inline HAMGAM_ABI

template <>
struct std::is_error_code_enum<hamgam::net::Errc> : std::true_type {};
template <>
struct std::hash<hamgam::net::Address> {
  std::size_t operator()(const hamgam::net::Address& a) const noexcept {
    return std::hash<std::string_view>{}({static_cast<const char*>(a.raw()), a.raw_size()});
  }
};
