// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
//
// How connections come to be: dial, accept, and what they are given.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <ctime>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "hamgam/chan.h"
#include "hamgam/go.h"
#include "hamgam/net.h"
#include "hamgam/time.h"
#include "hamgam/waitgroup.h"
#include "net/dial.h"
#include "support/child.h"
#include "support/descriptors.h"
#include "support/seed.h"
#include "support/streams.h"
#include "support/until.h"

namespace hamgam {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace): literals

int option_of(int fd, int level, int option) {
  int value = -1;
  socklen_t size = sizeof value;
  EXPECT_EQ(getsockopt(fd, level, option, &value, &size), 0);
  return value;
}

int lowest_free_number() {
  int const fd = dup(STDERR_FILENO);
  ::close(fd);
  return fd;
}

// A listener that answers nobody: its queue is full.
class Silent {
 public:
  explicit Silent(const char* host) {
    net::ListenOptions options;
    options.backlog = 1;
    listener_ = net::TcpListener::bind(std::string(host) + ":0", options);
    for (;;) {
      auto conn = net::TcpConn::dial_for(name(), 50ms);
      if (!conn.has_value()) {
        break;
      }
      waiting_.push_back(*conn);
    }
  }
  [[nodiscard]] std::string name() const { return listener_.address().to_string(); }
  [[nodiscard]] net::Address address() const { return listener_.address(); }

 private:
  net::TcpListener listener_;
  std::vector<net::TcpConn> waiting_;
};

std::string free_name() {
  auto listener = net::TcpListener::bind("127.0.0.1:0");
  return listener.address().to_string();
}

// The kernel may choose the port that is dialled for the dialler: N54.
TEST(Dial, NeverConnectsToItself) {
  run([] {
    std::string const name = free_name();
    int tries = 0;
    net::DialOptions options;
    options.before_connect = [&](int fd) {
      ++tries;
      linger const none{1, 0};  // nothing is left of it that would keep the address
      setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
      net::Address const address = net::Address::parse(name);
      EXPECT_EQ(bind(fd, static_cast<const sockaddr*>(address.raw()),
                     static_cast<socklen_t>(address.raw_size())),
                0);
    };
    EXPECT_EQ(test::net_error_of([&] { (void)net::TcpConn::dial(name, options); }),
              std::errc::connection_refused);
    EXPECT_EQ(tries, 3);
    // Who asks for it gets it.
    options.before_connect = nullptr;
    options.local = net::Address::parse(name);
    EXPECT_TRUE(net::TcpConn::dial(name, options));
  });
}

TEST(Dial, LimitsEndItAndLeaveNoDescriptor) {
  run([] {
    Silent const server("127.0.0.1");
    int const before = test::open_descriptors();
    auto const start = Clock::now();
    EXPECT_FALSE(net::TcpConn::dial_for(server.name(), 20ms).has_value());
    EXPECT_GE(Clock::now(), start + 20ms);
    EXPECT_FALSE(net::TcpConn::dial_until(server.name(), Clock::now() + 5ms).has_value());
    std::stop_source source;
    WaitGroup group;
    group.go(
        [&] { EXPECT_FALSE(net::TcpConn::dial(server.name(), source.get_token()).has_value()); });
    sleep(5ms);
    source.request_stop();
    group.wait();
    EXPECT_LE(test::open_descriptors(), before);  // N27
    // N10: what overflows is far away.
    auto listener = net::TcpListener::bind("127.0.0.1:0");
    EXPECT_TRUE(net::TcpConn::dial_for(listener.address().to_string(), std::chrono::hours::max()));
  });
}

// N50, B11: it is cancelled or it is usable; a stop afterwards changes nothing.
TEST(Dial, StopAgainstSuccess) {
  run([] {
    auto listener = net::TcpListener::bind("127.0.0.1:0");
    std::string const name = listener.address().to_string();
    WaitGroup server;
    server.go([&] {
      std::error_code e;
      while (net::TcpConn conn = listener.accept(e)) {
        (void)conn.write_all(std::as_bytes(std::span("!", 1)), e);
      }
      EXPECT_EQ(e, net::Errc::closed);
    });
    std::mt19937_64 engine(test::seed());
    int const before = test::open_descriptors();
    for (int i = 0; i < 200; ++i) {
      std::stop_source source;
      WaitGroup stopper;
      stopper.go([&, pause = std::chrono::microseconds(engine() % 200)] {
        sleep(pause);
        source.request_stop();
      });
      if (auto conn = net::TcpConn::dial(name, source.get_token())) {
        stopper.wait();
        std::byte one{};
        EXPECT_EQ(conn->read_some({&one, 1}), 1U);
      }
      stopper.wait();
    }
    listener.close();
    server.wait();
    EXPECT_TRUE(test::comes_true([&] { return test::open_descriptors() <= before; }));
  });
}

TEST(Dial, OptionsAndHooks) {
  run([] {
    net::ListenOptions listening;
    listening.keep_alive.idle = 33s;
    listening.reuse_port = true;
    int hooked = -1;
    listening.before_bind = [&](int fd) { hooked = fd; };  // N57
    auto listener = net::TcpListener::bind("127.0.0.1:0", listening);
    EXPECT_EQ(hooked, listener.fd());
    EXPECT_EQ(option_of(listener.fd(), SOL_SOCKET, SO_REUSEPORT), 1);
    std::string const name = listener.address().to_string();

    net::DialOptions options;
    options.local = net::Address::parse("127.0.0.5:0");
    options.no_delay = false;
    options.keep_alive.on = false;
    auto conn = net::TcpConn::dial(name, options);
    EXPECT_EQ(conn.local_address().host(), "127.0.0.5");
    EXPECT_EQ(option_of(conn.fd(), IPPROTO_TCP, TCP_NODELAY), 0);
    EXPECT_EQ(option_of(conn.fd(), SOL_SOCKET, SO_KEEPALIVE), 0);
    conn.set_keep_alive({true, 7s, 8s, 3});  // N58
    EXPECT_EQ(option_of(conn.fd(), SOL_SOCKET, SO_KEEPALIVE), 1);
    EXPECT_EQ(option_of(conn.fd(), IPPROTO_TCP, TCP_KEEPIDLE), 7);
    EXPECT_EQ(option_of(conn.fd(), IPPROTO_TCP, TCP_KEEPINTVL), 8);
    EXPECT_EQ(option_of(conn.fd(), IPPROTO_TCP, TCP_KEEPCNT), 3);

    auto peer = listener.accept();  // N48
    EXPECT_EQ(option_of(peer.fd(), IPPROTO_TCP, TCP_NODELAY), 1);
    EXPECT_EQ(option_of(peer.fd(), SOL_SOCKET, SO_KEEPALIVE), 1);
    EXPECT_EQ(option_of(peer.fd(), IPPROTO_TCP, TCP_KEEPIDLE), 33);
    EXPECT_EQ(fcntl(peer.fd(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    EXPECT_EQ(fcntl(peer.fd(), F_GETFL) & O_NONBLOCK, O_NONBLOCK);

    options.local = net::Address::parse("[::1]:0");  // N56
    EXPECT_EQ(test::net_error_of([&] { (void)net::TcpConn::dial(name, options); }),
              net::Errc::no_suitable_address);
    std::error_code error;
    EXPECT_FALSE(net::TcpConn::dial("127.0.0.1:x y", error));
    EXPECT_EQ(error, net::Errc::no_suitable_address);
    EXPECT_FALSE(net::TcpConn::dial(free_name(), error));
    EXPECT_EQ(error, std::errc::connection_refused);  // N55
  });
}

// N51: a second family, here both of this machine.
class TwoFamilies : public testing::Test {
 protected:
  static net::TcpConn dial(const net::Address& first, const net::Address& second,
                           std::chrono::milliseconds delay, std::error_code& error) {
    net::DialOptions options;
    options.fallback_delay = delay;
    net::detail::NetLimit limit;
    auto* const d = net::dial_addresses({first, second}, options, limit, error);
    EXPECT_FALSE(limit.gave_up);
    int const fd = d == nullptr ? -1 : dup(d->fd);
    if (d != nullptr) {
      hamgam::detail::release_descriptor(d);
    }
    return fd < 0 ? net::TcpConn() : net::TcpConn::adopt(fd);
  }

  static bool has_ipv6() {
    return !test::net_error_of([] { (void)net::TcpListener::bind("[::1]:0"); });
  }
};

TEST_F(TwoFamilies, SecondIsTriedAtOnceIfTheFirstFails) {
  run([] {
    auto listener = net::TcpListener::bind("127.0.0.1:0");
    net::Address const nobody = net::Address::parse("[::1]:1");
    std::error_code error;
    auto const start = Clock::now();
    net::TcpConn const conn = dial(nobody, listener.address(), 1h, error);
    EXPECT_TRUE(conn);
    EXPECT_FALSE(error);
    EXPECT_LT(Clock::now(), start + 30min);
    // Both fail: the first one's error.
    EXPECT_FALSE(dial(net::Address::parse(free_name()), nobody, 1h, error));
    EXPECT_EQ(error, std::errc::connection_refused);
  });
}

TEST_F(TwoFamilies, SecondIsTriedBesideASilentFirst) {
  run([] {
    if (!has_ipv6()) {
      return;
    }
    Silent const silent("127.0.0.1");
    auto listener = net::TcpListener::bind("[::1]:0");
    std::error_code error;
    int const before = test::open_descriptors();
    net::TcpConn conn = dial(silent.address(), listener.address(), 5ms, error);
    EXPECT_TRUE(conn);
    EXPECT_EQ(conn.remote_address(), listener.address());
    conn.close();
    EXPECT_TRUE(test::comes_true([&] { return test::open_descriptors() <= before; }));
  });
}

TEST_F(TwoFamilies, LosersAreClosed) {  // B16
  run([] {
    if (!has_ipv6()) {
      return;
    }
    auto one = net::TcpListener::bind("127.0.0.1:0");
    auto other = net::TcpListener::bind("[::1]:0");
    WaitGroup servers;
    for (const auto* listener : {&one, &other}) {
      servers.go([listener] {
        std::error_code e;
        while (listener->accept(e)) {
        }
      });
    }
    int const before = test::open_descriptors();
    for (int i = 0; i < 200; ++i) {
      std::error_code error;
      EXPECT_TRUE(dial(one.address(), other.address(), std::chrono::milliseconds(i % 2), error));
    }
    EXPECT_TRUE(test::comes_true([&] { return test::open_descriptors() <= before; }));
    one.close();
    other.close();
    servers.wait();
  });
}

TEST(Accept, LimitsLoseNoConnection) {
  run([] {
    auto listener = net::TcpListener::bind("127.0.0.1:0");
    EXPECT_FALSE(listener.accept_for(1ms).has_value());
    EXPECT_FALSE(listener.accept_until(Clock::now() + 1ms).has_value());
    std::stop_source source;
    WaitGroup group;
    group.go([&] { EXPECT_FALSE(listener.accept(source.get_token()).has_value()); });
    sleep(2ms);
    source.request_stop();
    group.wait();
    auto conn = net::TcpConn::dial(listener.address().to_string());
    EXPECT_TRUE(listener.accept(source.get_token()).has_value());  // it need not wait
    listener.close();
    std::error_code error;
    EXPECT_FALSE(listener.accept(error));
    EXPECT_EQ(error, net::Errc::closed);
  });
}

// N44, B12: says so once, does not spin, and goes on once there are descriptors again. It hears of
// a close and of deadlines meanwhile.
TEST(Accept, LimitOfDescriptors) {
  auto child = test::in_child([] {
    run([] {
      auto listener = net::TcpListener::bind("127.0.0.1:0");
      std::string const name = listener.address().to_string();
      test::open_poller();
      EXPECT_FALSE(listener.accept_for(1ms).has_value());
      net::TcpConn const client = net::TcpConn::dial(name);
      // UBSan looks at each kind of object by a descriptor, once.
      for (std::error_code const code : {std::make_error_code(std::errc::too_many_files_open),
                                         net::make_error_code(net::Errc::closed)}) {
        EXPECT_TRUE(code == code && code != std::errc::io_error && !code.message().empty());
      }
      int const next = lowest_free_number();
      rlimit limit{};
      getrlimit(RLIMIT_NOFILE, &limit);
      rlimit const none{static_cast<rlim_t>(next), limit.rlim_max};
      setrlimit(RLIMIT_NOFILE, &none);
      auto const cpu = std::clock();
      bool good = !listener.accept_for(50ms).has_value();
      listener.set_deadline(Clock::now() + 5ms);
      std::error_code late;
      (void)listener.accept(late);
      good = good && late == net::Errc::deadline;
      listener.set_deadline(TimePoint::max());
      good = good && std::clock() - cpu < CLOCKS_PER_SEC;
      WaitGroup group;
      net::TcpConn accepted;
      group.go([&] { accepted = listener.accept(); });
      sleep(2ms);
      setrlimit(RLIMIT_NOFILE, &limit);
      group.wait();
      good = good && accepted;
      setrlimit(RLIMIT_NOFILE, &none);
      std::error_code closed;
      group.go([&] { (void)listener.accept(closed); });
      sleep(2ms);
      listener.close();
      group.wait();
      good = good && closed == net::Errc::closed;
      if (!good) {
        std::abort();
      }
    });
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
  std::string const line = "hamgam: accept: too many open files; trying again every now and then\n";
  EXPECT_EQ(child.error, line);
}

// N52: each address has its share of the time that is left, 2 s at least.
TEST(Dial, AddressesShareTheTime) {
  run([] {
    Silent const silent("127.0.0.1");
    auto const listener = net::TcpListener::bind("127.0.0.1:0");
    net::detail::NetLimit limit;
    auto const start = Clock::now();
    limit.deadline = (start + 1min).time_since_epoch().count();
    auto const share = [&](std::vector<net::Address> addresses, std::error_code& error) {
      auto* const d = net::dial_addresses(addresses, {}, limit, error);
      if (d != nullptr) {
        hamgam::detail::release_descriptor(d);
      }
      return d != nullptr;
    };
    std::error_code error;
    EXPECT_TRUE(share({listener.address(), silent.address()}, error));
    limit.deadline = (start + 3s).time_since_epoch().count();
    EXPECT_TRUE(share({silent.address(), listener.address()}, error));
    EXPECT_GE(Clock::now(), start + 2s);
    EXPECT_FALSE(limit.gave_up);
  });
}

// N53: a signal that comes while it is asked whether there is a connection makes none.
TEST(Dial, SignalsMakeNoConnection) {
  Silent const nobody("127.0.0.1");
  struct sigaction ignored {};
  struct sigaction former {};
  ignored.sa_handler = [](int) {};
  sigaction(SIGUSR2, &ignored, &former);
  std::atomic<bool> over{false};
  std::thread dialler([&] {
    for (int i = 0; i < 200; ++i) {
      EXPECT_FALSE(net::TcpConn::dial_for(nobody.name(), 2ms).has_value());
    }
    over = true;
  });
  auto const thread = dialler.native_handle();
  while (!over) {
    pthread_kill(thread, SIGUSR2);
  }
  dialler.join();
  sigaction(SIGUSR2, &former, nullptr);
}

TEST(Adopt, OnlyWhatIsConnected) {
  int const fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_GE(fd, 0);
  EXPECT_EQ(test::net_error_of([&] { (void)net::TcpConn::adopt(fd); }), std::errc::not_connected);
  ASSERT_EQ(listen(fd, 1), 0);
  EXPECT_EQ(test::net_error_of([&] { (void)net::TcpConn::adopt(fd); }),
            std::errc::wrong_protocol_type);
  EXPECT_EQ(::close(fd), 0);  // it was not taken
  for (int family : {AF_INET, AF_UNIX}) {
    int const never = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)shutdown(never, SHUT_RD);
    EXPECT_EQ(test::net_error_of([&] { (void)net::TcpConn::adopt(never); }),
              std::errc::not_connected);
    ::close(never);
  }
  run([] {
    auto [mine, peer] = test::Tcp::make();
    peer.write_all(test::bytes_of("hello"));
    peer.shutdown_write();
    mine.shutdown_write();
    std::array<std::byte, 8> bytes{};
    EXPECT_EQ(peer.read_some(bytes), 0U);  // the kernel knows of no peer by now
    auto const again = net::TcpConn::adopt(mine.release());
    EXPECT_EQ(again.read_exact(bytes), 5U);
  });
}

// What the kernel forgets when the peer resets is known nevertheless, and stands in the errors.
TEST(Peer, IsKnownAfterAReset) {
  run([] {
    auto const listener = net::TcpListener::bind("0.0.0.0:0");
    std::string const port = std::to_string(listener.address().port());
    for (std::string const& host : {std::string("127.0.0.1:"), std::string("0.0.0.0:")}) {
      auto const dialled = net::TcpConn::dial(host + port);
      auto const accepted = listener.accept();
      auto const adopted = net::TcpConn::adopt(dup(dialled.fd()));
      accepted.set_linger(0s);
      std::string const from = dialled.local_address().to_string();
      EXPECT_EQ(accepted.remote_address().to_string(), from);
      accepted.close();
      std::array<std::byte, 1> byte{};
      try {
        (void)dialled.read_some(byte);
        ADD_FAILURE();
      } catch (const net::Error& e) {
        EXPECT_NE(std::string(e.what()).find(from + "->127.0.0.1:" + port), std::string::npos)
            << e.what();
      }
      EXPECT_EQ(dialled.remote_address().to_string(), "127.0.0.1:" + port);
      EXPECT_EQ(adopted.remote_address().to_string(), "127.0.0.1:" + port);

      auto const another = net::TcpConn::dial(host + port);
      std::string const name = another.local_address().to_string();
      another.set_linger(0s);
      another.close();
      EXPECT_EQ(listener.accept().remote_address().to_string(), name);
    }
  });
}

TEST(Adopt, NoMessagesAndOtherStreams) {
  int ends[2] = {-1, -1};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
  EXPECT_EQ(test::net_error_of([&] { (void)net::TcpConn::adopt(ends[0]); }),
            std::errc::wrong_protocol_type);
  ::close(ends[0]);
  ::close(ends[1]);
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  auto const one = net::TcpConn::adopt(ends[0]);
  auto const two = net::TcpConn::adopt(ends[1]);
  std::array<std::byte, 3> bytes{};
  one.write_all(bytes);
  EXPECT_EQ(two.read_exact(bytes), 3U);
}

TEST(Unix, NoAddressesOfOtherKinds) {
  EXPECT_EQ(test::net_error_of([] { (void)net::UnixListener::bind("127.0.0.1:0"); }),
            net::Errc::no_suitable_address);
  EXPECT_EQ(test::net_error_of([] { (void)net::UnixConn::dial("127.0.0.1:1"); }),
            net::Errc::no_suitable_address);
}

}  // namespace
}  // namespace hamgam
