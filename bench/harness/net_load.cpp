// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// The load for the network benchmarks (bench/net): one thread, plain epoll, the same for every
// server. It keeps to a schedule and counts each answer from the moment at which its request should
// have been sent: a server that stalls is charged for all that waited meanwhile.
//
//   net_load KIND PORT [--connections N] [--rate R] [--depth D] [--seconds S] [--warmup S]
//            [--server PID] [--hold]
//
// KIND: echo, http, redis, or storm (dial, echo, close). R requests each second, evenly spaced and
// dealt to the connections in turn, D of them in one write; 0: each connection sends the next as
// soon as it has its answer. One line of JSON at the end. --hold: one request on each connection
// before all that, then "ready"; goes on after a line on standard input.

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Nanos = std::int64_t;
constexpr Nanos kSecond = 1'000'000'000;

struct Options {
  std::string kind;
  int port = 0;
  int connections = 100;
  double rate = 0;
  int depth = 1;
  double seconds = 2;
  double warmup = 0.5;
  int server = 0;
  bool hold = false;
};

[[noreturn]] void die(const char* what) {
  std::fprintf(stderr, "net_load: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

Nanos read_clock(clockid_t clock) {
  timespec t{};
  if (clock_gettime(clock, &t) != 0) die("clock_gettime");
  return t.tv_sec * kSecond + t.tv_nsec;
}

Nanos now() { return read_clock(CLOCK_MONOTONIC); }

// ---- latencies -------------------------------------------------------------------------------

// Buckets of 1/64 of their value.
class Histogram {
 public:
  void add(Nanos value) {
    const auto v = static_cast<std::uint64_t>(std::max<Nanos>(value, 0));
    const int shift = std::max(0, static_cast<int>(std::bit_width(v)) - kBits - 1);
    ++counts_[(static_cast<std::size_t>(shift) << kBits) + (v >> shift)];
    ++total_;
  }
  // In microseconds.
  [[nodiscard]] double at(double share) const {
    auto left = static_cast<std::uint64_t>(share * static_cast<double>(total_));
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      if (counts_[i] > left) {
        const std::size_t shift = i < (2U << kBits) ? 0 : (i >> kBits) - 1;
        const std::size_t base = i - (shift << kBits);
        return static_cast<double>(((2 * base + 1) << shift) / 2) / 1e3;
      }
      left -= counts_[i];
    }
    return 0;
  }

 private:
  static constexpr int kBits = 6;
  std::vector<std::uint64_t> counts_ = std::vector<std::uint64_t>(64U << kBits);
  std::uint64_t total_ = 0;
};

// ---- what is sent ----------------------------------------------------------------------------

std::string request_of(const Options& o) {
  std::string one;
  if (o.kind == "http") {
    one =
        "GET /plaintext HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAccept: text/plain\r\n"
        "User-Agent: net_load\r\n\r\n";
  } else if (o.kind == "redis") {
    one = "*1\r\n$4\r\nPING\r\n";
  } else {
    one = std::string(64, 'x');
  }
  std::string all;
  for (int i = 0; i < o.depth; ++i) all += one;
  return all;
}

sockaddr_in address_of(const Options& o) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(o.port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return to;
}

// A storm leaves many ports in TIME_WAIT: each address of the loopback has its own.
int open_socket(bool spread) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (spread) {
    static std::uint32_t last = 0;
    sockaddr_in from{};
    from.sin_family = AF_INET;
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + last++ % 64);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(fd, reinterpret_cast<const sockaddr*>(&from), sizeof from) != 0) die("bind");
  }
  return fd;
}

int dial(const Options& o) {
  const int fd = open_socket(false);
  fcntl(fd, F_SETFL, 0);
  const sockaddr_in to = address_of(o);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) die("connect");
  return fd;
}

// How long the answer to one request is; every one is as long.
std::size_t answer_size(const Options& o) {
  if (o.kind == "redis") return std::strlen("+PONG\r\n");
  if (o.kind != "http") return 64;
  Options once = o;
  once.depth = 1;
  const std::string request = request_of(once);
  const int fd = dial(o);
  if (write(fd, request.data(), request.size()) < 0) die("write");
  std::string answer;
  std::size_t size = 0;
  do {
    std::array<char, 4096> part;  // NOLINT: filled by read
    const ssize_t got = read(fd, part.data(), part.size());
    if (got <= 0) die("read");
    answer.append(part.data(), static_cast<std::size_t>(got));
    const std::size_t header = answer.find("\r\n\r\n");
    if (header == std::string::npos) continue;
    for (char& c : answer) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    const std::size_t length = answer.find("content-length: ");
    if (!answer.starts_with("http/1.1 200") || length == std::string::npos) {
      errno = EPROTO;
      die("the answer");
    }
    size = header + 4 + std::strtoul(answer.c_str() + length + 16, nullptr, 10);
  } while (size == 0 || answer.size() < size);
  close(fd);
  return size;
}

// ---- the load --------------------------------------------------------------------------------

class Load {
 public:
  explicit Load(const Options& o)
      : o_(o),
        storm_(o.kind == "storm"),
        step_(o.rate > 0 ? o.depth * 1e9 / o.rate : 0),
        request_(request_of(o)),
        expected_(answer_size(o) * static_cast<std::size_t>(o.depth)),
        epoll_(epoll_create1(EPOLL_CLOEXEC)),
        connections_(static_cast<std::size_t>(o.connections)) {
    if (o.server != 0 && clock_getcpuclockid(o.server, &server_) != 0) die("--server");
    if (!storm_) {
      for (Connection& c : connections_) {
        c.fd = dial(o);
        fcntl(c.fd, F_SETFL, O_NONBLOCK);
        watch(c, EPOLLIN, EPOLL_CTL_ADD);
      }
    }
  }

  void hold() {
    for (Connection& c : connections_) {
      if (storm_) break;
      start(c, 0);
      while (c.busy) take_events(kSecond);
    }
    std::puts("ready");
    std::fflush(stdout);
    (void)std::getchar();
  }

  void run() {
    runs_ = true;
    total_ = 0;
    start_ = now() + static_cast<Nanos>(o_.warmup * 1e9);
    end_ = start_ + static_cast<Nanos>(o_.seconds * 1e9);
    first_ = now();
    if (step_ == 0) {
      for (Connection& c : connections_) start(c, now());
    }
    until(start_);
    const Nanos began = now();
    const Nanos server = server_time();
    const Nanos own = read_clock(CLOCK_PROCESS_CPUTIME_ID);
    const std::uint64_t before = total_;
    until(end_);
    const auto wall = static_cast<double>(now() - began);
    const auto spent = static_cast<double>(server_time() - server);
    const auto mine = static_cast<double>(read_clock(CLOCK_PROCESS_CPUTIME_ID) - own);
    const double done = static_cast<double>(total_ - before) * o_.depth;
    drain();
    std::printf(
        R"({"total": %.0f, "rate": %.0f, "cpu_us": %.4f, "server_cpu": %.3f, "client_cpu": %.3f, "p50": %.2f, )"
        R"("p99": %.2f, "p999": %.2f, "late_p99": %.2f, "unanswered": %d, "errors": %d})"
        "\n",
        static_cast<double>(total_) * o_.depth, done * 1e9 / wall,
        done > 0 ? spent / 1e3 / done : 0, spent / wall, mine / wall, latency_.at(0.5),
        latency_.at(0.99), latency_.at(0.999), late_.at(0.99), unanswered_, errors_);
  }

 private:
  struct Connection {
    int fd = -1;
    bool busy = false;
    bool sent = false;  // the storm's may still be connecting
    int waiting = 0;    // requests that are due and wait for the answer to the one before
    Nanos due = 0;      // of the request under way
    std::size_t received = 0;
  };

  void watch(Connection& c, std::uint32_t events, int operation) const {
    epoll_event event{};
    event.events = events;
    event.data.u64 = static_cast<std::uint64_t>(&c - connections_.data());
    if (epoll_ctl(epoll_, operation, c.fd, &event) != 0) die("epoll_ctl");
  }

  [[nodiscard]] Nanos server_time() const { return o_.server != 0 ? read_clock(server_) : 0; }

  [[nodiscard]] Nanos due_at(std::uint64_t k) const {
    return first_ + static_cast<Nanos>(static_cast<double>(k) * step_);
  }

  // Returns at that time.
  void until(Nanos time) {
    for (Nanos t = now(); t < time; t = now()) {
      Nanos next = time;
      if (step_ != 0) {
        for (; (next = due_at(turn_)) <= t && next < end_; ++turn_) {
          Connection& c = connections_[turn_ % connections_.size()];
          if (c.busy) {
            ++c.waiting;
          } else {
            late_.add(now() - next);
            start(c, next);
          }
        }
        next = std::min(next, time);
      }
      // The sleep is short of the time, as it takes some to wake up.
      const Nanos left = next - now();
      take_events(step_ != 0 && left < kAwake ? 0 : std::max<Nanos>(0, left - kAwake));
    }
  }

  // What was due before the end counts, however long it takes.
  void drain() {
    const Nanos last = end_ + 2 * kSecond;
    const auto open = [this] {
      return std::any_of(connections_.begin(), connections_.end(),
                         [](const Connection& c) { return c.busy; });
    };
    while (now() < last && open()) take_events(kSecond / 100);
    for (Connection& c : connections_) {
      if (!c.busy) continue;
      unanswered_ += 1 + c.waiting;
      for (int i = 0; i <= c.waiting; ++i) latency_.add(now() - c.due - i * turn_time());
    }
  }

  [[nodiscard]] Nanos turn_time() const {
    return static_cast<Nanos>(step_ * static_cast<double>(connections_.size()));
  }

  void start(Connection& c, Nanos due) {
    c.busy = true;
    c.sent = false;
    c.due = due;
    c.received = 0;
    if (storm_) {
      c.fd = open_socket(true);
      const sockaddr_in to = address_of(o_);
      if (connect(c.fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 &&
          errno != EINPROGRESS) {
        die("connect");
      }
    }
    send_to(c);
    if (storm_) watch(c, c.sent ? EPOLLIN : EPOLLOUT, EPOLL_CTL_ADD);
  }

  void send_to(Connection& c) {
    const ssize_t sent = send(c.fd, request_.data(), request_.size(), MSG_NOSIGNAL);
    if (sent == static_cast<ssize_t>(request_.size())) {
      c.sent = true;
    } else if (!storm_ || (errno != EAGAIN && errno != ENOTCONN)) {
      die("send");
    }
  }

  void receive(Connection& c) {
    if (!c.sent) {
      send_to(c);
      if (c.sent) watch(c, EPOLLIN, EPOLL_CTL_MOD);
      return;
    }
    const ssize_t got = recv(c.fd, buffer_.data(), buffer_.size(), 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
      if (!storm_) die("the server closed the connection");
      ++errors_;
      finish(c);
      return;
    }
    c.received += static_cast<std::size_t>(got);
    if (c.received > expected_) {
      errno = EPROTO;
      die("more than was asked for");
    }
    if (c.received == expected_) finish(c);
  }

  void finish(Connection& c) {
    const Nanos t = now();
    if (c.due >= start_ && c.due < end_) latency_.add(t - c.due);
    ++total_;
    c.busy = false;
    if (storm_) {
      close(c.fd);
      c.fd = -1;
    }
    if (step_ == 0) {
      if (runs_ && t < end_) start(c, t);
    } else if (c.waiting > 0) {
      --c.waiting;
      start(c, c.due + turn_time());
    }
  }

  void take_events(Nanos most) {
    std::array<epoll_event, 256> events;  // NOLINT: filled by epoll_pwait2
    const timespec limit{most / kSecond, most % kSecond};
    const int count =
        epoll_pwait2(epoll_, events.data(), static_cast<int>(events.size()), &limit, nullptr);
    if (count < 0 && errno != EINTR) die("epoll_pwait2");
    for (int i = 0; i < count; ++i) receive(connections_[events[i].data.u64]);
  }

  static constexpr Nanos kAwake = 100'000;

  Options o_;
  bool storm_;
  double step_;
  std::string request_;
  std::size_t expected_;
  int epoll_;
  clockid_t server_{};
  std::vector<Connection> connections_;
  std::array<char, 1 << 16> buffer_{};
  Histogram latency_;
  Histogram late_;
  Nanos first_ = 0;
  Nanos start_ = 0;
  Nanos end_ = 0;
  std::uint64_t turn_ = 0;
  std::uint64_t total_ = 0;  // answers
  bool runs_ = false;
  int unanswered_ = 0;
  int errors_ = 0;
};

Options parse(int argc, char** argv) {
  Options o;
  if (argc < 3) {
    std::fputs("usage: net_load KIND PORT [OPTION...]\n", stderr);
    std::exit(2);
  }
  o.kind = argv[1];
  o.port = std::atoi(argv[2]);
  for (int i = 3; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag == "--hold") {
      o.hold = true;
      continue;
    }
    const double value = i + 1 < argc ? std::atof(argv[++i]) : 0;
    if (flag == "--connections") o.connections = static_cast<int>(value);
    if (flag == "--rate") o.rate = value;
    if (flag == "--depth") o.depth = static_cast<int>(value);
    if (flag == "--seconds") o.seconds = value;
    if (flag == "--warmup") o.warmup = value;
    if (flag == "--server") o.server = static_cast<int>(value);
  }
  return o;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  prctl(PR_SET_TIMERSLACK, 1);
  Load load(options);
  if (options.hold) load.hold();
  load.run();
}
