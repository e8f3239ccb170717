// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
//
// Listeners, addresses and foreign descriptors: more of Go's behaviours, and of what broke
// elsewhere.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "hamgam/hamgam.h"
#include "support/child.h"
#include "support/descriptors.h"
#include "support/scale.h"
#include "support/streams.h"
#include "support/until.h"

namespace {
std::atomic<int> g_refusals{0};
}  // namespace

// (The linker has the library call this one.)
extern "C" int __real_epoll_ctl(int epoll, int what, int fd, epoll_event* event);
extern "C" int __wrap_epoll_ctl(int epoll, int what, int fd, epoll_event* event) {
  if (what == EPOLL_CTL_ADD && g_refusals > 0) {
    --g_refusals;
    errno = ENOSPC;
    return -1;
  }
  return __real_epoll_ctl(epoll, what, fd, event);
}

namespace hamgam {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace): literals
using test::bytes_of;
using test::in_child;
using test::net_error_of;

bool has_ipv6() {
  return !net_error_of([] { (void)net::TcpListener::bind("[::1]:0"); });
}

// A connection, and its peer's end.
std::pair<net::TcpConn, net::TcpConn> connect_to(const net::TcpListener& listener,
                                                 const std::string& host) {
  auto client = net::TcpConn::dial(host + ":" + std::to_string(listener.address().port()));
  return {client, listener.accept()};
}

// N46: twice is once too often, whichever of the two families came first.
TEST(Listeners, SecondOfTheSameAddress) {
  for (const std::string first : {"127.0.0.1:0", ":0", "0.0.0.0:0", "[::1]:0", "[::]:0"}) {
    if (first[0] == '[' && !has_ipv6()) {
      continue;
    }
    auto const listener = net::TcpListener::bind(first);
    std::string const host = first.substr(0, first.rfind(':'));
    std::string const again = host + ":" + std::to_string(listener.address().port());
    EXPECT_EQ(net_error_of([&] { (void)net::TcpListener::bind(again); }), std::errc::address_in_use)
        << again;
    int on = 0;
    socklen_t size = sizeof on;
    EXPECT_EQ(getsockopt(listener.fd(), SOL_SOCKET, SO_REUSEADDR, &on, &size), 0);
    EXPECT_EQ(on, 1);
  }
}

// N47, N59: one socket for both families, whose addresses are shown as users write them.
TEST(Listeners, OfAllAddresses) {
  (void)run([] {
    for (const char* all : {":0", ""}) {
      auto const listener = net::TcpListener::bind(all);
      EXPECT_NE(listener.address().port(), 0);
      for (const std::string host : {"127.0.0.1", "[::1]", "", "[::]"}) {
        if (host[0] == '[' && !has_ipv6()) {
          continue;
        }
        auto [client, server] = connect_to(listener, host);
        EXPECT_EQ(server.remote_address(), client.local_address());
        EXPECT_EQ(server.local_address(), client.remote_address());
        if (host == "127.0.0.1") {
          EXPECT_TRUE(server.remote_address().is_ipv4());
          EXPECT_EQ(server.remote_address().host(), "127.0.0.1");
        }
      }
      EXPECT_TRUE(net::TcpConn::dial(listener.address().to_string()));  // N59
      (void)listener.accept();
    }
    auto const four = net::TcpListener::bind("127.0.0.1:0");  // one family only
    if (has_ipv6()) {
      EXPECT_EQ(net_error_of([&] { (void)connect_to(four, "[::1]"); }),
                std::errc::connection_refused);
    }
  });
}

// N42, N25: connections that are gone again before they are accepted stop nobody.
TEST(Listeners, ConnectionsThatAreGoneAgain) {
  (void)run([] {
    auto const listener = net::TcpListener::bind("127.0.0.1:0");
    std::string const name = listener.address().to_string();
    for (int i = 0; i < 20; ++i) {
      auto const gone = net::TcpConn::dial(name);
      gone.set_linger(0s);
    }
    auto const good = net::TcpConn::dial(name);
    good.write_all(bytes_of("good"));
    std::array<std::byte, 4> buffer{};
    for (;;) {
      auto const conn = listener.accept();
      std::error_code error;
      if (conn.read_exact(buffer, error) == 4) {
        break;
      }
      EXPECT_EQ(error, std::errc::connection_reset);
    }
  });
}

// B2: those that are used again at once after a reset are fresh.
TEST(Listeners, RecordsOfResetConnections) {
  int const rounds = test::scaled(500);
  (void)run([&] {
    auto const listener = net::TcpListener::bind("127.0.0.1:0");
    std::string const name = listener.address().to_string();
    WaitGroup server;
    server.go([&] {
      std::error_code error;
      while (net::TcpConn const conn = listener.accept(error)) {
        server.go([conn] {
          std::array<std::byte, 1> byte{};
          std::error_code e;
          while (conn.read_some(byte, e) == 1) {
            (void)conn.write_all(byte, e);
          }
        });
      }
    });
    WaitGroup clients;
    for (int i = 0; i < 8; ++i) {
      clients.go([&] {
        for (int k = 0; k < rounds; ++k) {
          auto const conn = net::TcpConn::dial(name);
          std::array<std::byte, 1> byte{};
          conn.write_all(byte);
          EXPECT_EQ(conn.read_some(byte), 1U);
          conn.set_linger(0s);  // a reset, which is an event at both ends
        }
      });
    }
    clients.wait();
    listener.close();
    server.wait();
  });
}

// N43: signals in the middle of anything.
TEST(Listeners, SignalsInterruptNothing) {
  struct sigaction ignored {};
  struct sigaction former {};
  ignored.sa_handler = [](int) {};  // without SA_RESTART
  sigaction(SIGUSR2, &ignored, &former);
  std::atomic<bool> over{false};
  std::thread talkers([&] {  // a plain thread, whose calls the signals meet
    auto const listener = net::TcpListener::bind("127.0.0.1:0");
    for (int i = 0; i < 50; ++i) {
      auto [client, server] = connect_to(listener, "127.0.0.1");
      std::string const text(100'000, 'x');
      WaitGroup group;
      group.go([&, client = client] {
        client.write_all(bytes_of(text));
        client.close();
      });
      EXPECT_EQ(test::read_to_end(server), text);
      group.wait();
    }
    over = true;
  });
  auto const thread = talkers.native_handle();
  while (!over) {
    pthread_kill(thread, SIGUSR2);
  }
  talkers.join();
  sigaction(SIGUSR2, &former, nullptr);
}

// N49, B12: the poller has no room: an error, and no number is left open.
TEST(Listeners, DescriptorThatCantBeWaitedFor) {
  (void)run([] {
    auto const listener = net::TcpListener::bind("127.0.0.1:0");
    test::open_poller();
    EXPECT_FALSE(listener.accept_for(1ms));
    int const before = test::open_descriptors();
    {
      auto [client, server] = connect_to(listener, "127.0.0.1");
      std::array<std::byte, 1> byte{};
      g_refusals = 1;
      EXPECT_EQ(net_error_of([&] { (void)server.read_some(byte); }), std::errc::no_space_on_device);
      EXPECT_FALSE(server.read_some_for(byte, 1ms));  // there is room again
      client.write_all(byte);
      EXPECT_EQ(server.read_some(byte), 1U);
      std::array<int, 2> ends{};
      ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
      g_refusals = 1;
      EXPECT_EQ(net_error_of([&] { net::wait_readable(ends[0]); }), std::errc::no_space_on_device);
      ::close(ends[0]);
      ::close(ends[1]);
    }
    EXPECT_EQ(test::open_descriptors(), before);
  });
}

// N51, N59: one address after another, of whatever family.
TEST(Listeners, AddressesInTurn) {
  (void)run([] {
    net::DialOptions options;
    options.fallback_delay = -1ms;
    // Most often a name of both families, whose first address is refused at once.
    auto const listener = net::TcpListener::bind("127.0.0.1:0");
    auto const conn = net::TcpConn::dial_for(
        "localhost:" + std::to_string(listener.address().port()), 1min, options);
    EXPECT_TRUE(conn && conn->remote_address() == listener.address());
  });
}

// N59: zones, and a host in brackets.
TEST(Addresses, Zones) {
  auto const address = net::Address::parse("[fe80::1%lo]:80");
  EXPECT_EQ(address.host(), "fe80::1%lo");
  EXPECT_EQ(address.to_string(), "[fe80::1%lo]:80");
  EXPECT_NE(address, net::Address::parse("[fe80::1]:80"));
  auto const local = net::Address::parse("[::1%1]:80");  // a zone that it needs not
  EXPECT_EQ(net::Address::parse(local.to_string()), local);
  EXPECT_EQ(net_error_of([] { (void)net::Address::parse("[fe80::1%no-such-one]:80"); }),
            net::Errc::no_suitable_address);
}

// N63: the path stays, names of any bytes are abstract, and a peer without a name has none.
TEST(Addresses, OfUnixSockets) {
  (void)run([] {
    std::string const name = "@hamgam-waits-test-" + std::to_string(getpid()) + "-\x01\x02";
    auto const listener = net::UnixListener::bind(name);
    EXPECT_EQ(listener.address().to_string(), name);
    auto const client = net::UnixConn::dial(name);
    auto const server = listener.accept();
    EXPECT_EQ(client.remote_address().to_string(), name);
    EXPECT_EQ(server.remote_address().to_string(), "");
    EXPECT_EQ(net_error_of([&] { (void)net::UnixListener::bind(name); }),
              std::errc::address_in_use);
  });
}

// N65: everything that is opened is closed on exec.
TEST(Numbers, AreClosedOnExec) {
  (void)run([] {
    auto const listener = net::TcpListener::bind("127.0.0.1:0");
    auto const udp = net::UdpSocket::bind("127.0.0.1:0");
    auto const pipe = net::pipe();
    auto const conn = connect_to(listener, "127.0.0.1");
    std::string const name = "@hamgam-waits-test-" + std::to_string(getpid());
    auto const unix_listener = net::UnixListener::bind(name);
    auto const unix_conn = net::UnixConn::dial(name);
    for (int const fd : {listener.fd(), udp.fd(), pipe.first.fd(), pipe.second.fd(),
                         conn.first.fd(), conn.second.fd(), unix_listener.fd(), unix_conn.fd()}) {
      EXPECT_EQ(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    }
  });
}

// N68: a file is always ready. N69: a pipe, and a named one, need not be non-blocking.
TEST(Foreign, FilesAndPipes) {
  (void)run([] {
    std::FILE* const file = std::tmpfile();
    EXPECT_TRUE(net::wait_readable(fileno(file)));
    EXPECT_TRUE(net::wait_writable(fileno(file)));
    std::fclose(file);
    std::array<int, 2> ends{};
    ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
    EXPECT_FALSE(net::wait_readable_for(ends[0], 1ms));
    EXPECT_TRUE(net::wait_writable(ends[1]));
    WaitGroup group;
    group.go([&] { EXPECT_TRUE(net::wait_readable(ends[0])); });
    yield();
    ::close(ends[1]);  // the end of it: B10
    group.wait();
    EXPECT_EQ(fcntl(ends[0], F_GETFL) & O_NONBLOCK, 0);
    ::close(ends[0]);
  });
}

// B6: who waits for a copy of a number does so although the first one is closed.
TEST(Foreign, CopyOfANumberThatIsClosed) {
  (void)run([] {
    std::array<int, 2> ends{};
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()), 0);
    for (int i = 0; i < 100; ++i) {
      int const copy = dup(ends[0]);
      WaitGroup group;
      group.go([&] { EXPECT_TRUE(net::wait_readable(copy)); });
      yield();
      ::close(ends[0]);
      EXPECT_EQ(::write(ends[1], "x", 1), 1);
      group.wait();
      char byte = 0;
      EXPECT_EQ(::read(copy, &byte, 1), 1);
      ends[0] = copy;
    }
    ::close(ends[0]);
    ::close(ends[1]);
  });
}

// B21: the end of a process, of which a wait is only a hint.
TEST(Foreign, ProcessesThatEnd) {
  (void)run([] {
    for (int i = 0; i < 10; ++i) {
      pid_t child = -1;
      std::string name = "true";
      std::array<char*, 2> arguments{name.data(), nullptr};
      ASSERT_EQ(posix_spawnp(&child, "true", nullptr, nullptr, arguments.data(), environ), 0);
      int const number = static_cast<int>(syscall(SYS_pidfd_open, child, 0));
      int result = 0;
      int status = -1;
      while (number >= 0 && (result = waitpid(child, &status, WNOHANG)) == 0) {
        EXPECT_TRUE(net::wait_readable(number));
      }
      if (number < 0) {  // not here
        result = blocking([&] { return waitpid(child, &status, 0); });
      }
      EXPECT_EQ(result, child);
      EXPECT_EQ(status, 0);
      ::close(number);
    }
  });
}

// B14: what a child of a fork closes, or ends, does not concern the parent, whose epoll it shares.
TEST(Foreign, ChildOfAForkSpoilsNothing) {
  auto child = in_child([] {
    (void)run([] {
      auto [mine, peer] = net::pipe();
      auto const listener = net::TcpListener::bind("127.0.0.1:0");
      EXPECT_FALSE(listener.accept_for(1ms));  // is registered now
      WaitGroup group;
      group.go([peer = peer] {
        std::array<std::byte, 1> byte{};
        while (peer.read_some(byte) == 1) {
          peer.write_all(byte);
        }
      });
      std::array<std::byte, 1> byte{};
      for (int i = 0; i < 20; ++i) {
        mine.write_all(byte);
        if (mine.read_some(byte) != 1) {
          std::abort();
        }
        pid_t const forked = fork();
        if (forked == 0) {
          mine.close();
          listener.close();
          closefrom(3);
          _exit(0);
        }
        int status = -1;
        blocking([&] { waitpid(forked, &status, 0); });
        if (status != 0) {
          std::abort();
        }
      }
      auto const client = net::TcpConn::dial(listener.address().to_string());
      (void)listener.accept();
      mine.close();
      group.wait();
    });
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

// N70: who waits for a descriptor is not deadlocked, although nothing in the process will wake him.
TEST(Foreign, NoDeadlockWhileOneWaitsForADescriptor) {
  auto child = in_child([] {
    static std::array<int, 2> ends{};
    (void)!pipe2(ends.data(), O_CLOEXEC);
    std::signal(SIGALRM, [](int) { (void)!::write(ends[1], "x", 1); });
    (void)run([] {
      itimerval const soon{{0, 0}, {0, 300'000}};
      setitimer(ITIMER_REAL, &soon, nullptr);
      (void)net::wait_readable(ends[0]);
    });
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

}  // namespace
}  // namespace hamgam
