// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>
#include <netdb.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <span>
#include <stop_token>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "hamgam/hamgam.h"
#include "support/descriptors.h"
#include "support/scale.h"
#include "support/until.h"

namespace {

using namespace std::chrono_literals;
using hamgam::Clock;
using hamgam::net::Address;
using hamgam::net::Errc;
using hamgam::net::Error;
using hamgam::net::UdpSocket;

std::span<const std::byte> bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

// The text of a datagram, which comes from `from`.
std::string text_of(const UdpSocket& socket, Address* from = nullptr) {
  std::array<std::byte, 100> buffer{};
  auto const received = socket.receive_from(buffer);
  EXPECT_FALSE(received.truncated);
  if (from != nullptr) {
    *from = received.from;
  }
  return {reinterpret_cast<const char*>(buffer.data()), received.bytes};
}

template <class F>
std::error_code error_of(F f) {
  try {
    f();
  } catch (const Error& e) {
    return e.code();
  }
  return {};
}

Address port_of(const UdpSocket& socket, const std::string& host) {
  return Address::parse(host + ":" + std::to_string(socket.local_address().port()));
}

TEST(Udp, there_and_back) {
  auto play = [] {
    auto const a = UdpSocket::bind("127.0.0.1:0");
    auto const b = UdpSocket::bind("127.0.0.1:0");
    a.send_to(bytes("there"), b.local_address());
    Address from;
    EXPECT_EQ(text_of(b, &from), "there");
    EXPECT_EQ(from, a.local_address());
    b.send_to(bytes("back"), from);
    EXPECT_EQ(text_of(a, &from), "back");
    EXPECT_EQ(from, b.local_address());
    EXPECT_EQ(a.remote_address(), Address());
  };
  play();
  (void)hamgam::run(play);
}

TEST(Udp, one_that_is_connected) {
  (void)hamgam::run([] {
    auto const server = UdpSocket::bind("127.0.0.1:0");
    auto const stranger = UdpSocket::bind("127.0.0.1:0");
    auto const client = UdpSocket::connect(server.local_address().to_string());
    EXPECT_EQ(client.remote_address(), server.local_address());
    client.send(bytes("hello"));
    Address from;
    EXPECT_EQ(text_of(server, &from), "hello");
    EXPECT_EQ(from, client.local_address());
    stranger.send_to(bytes("noise"), from);
    server.send_to(bytes("yes"), from);
    std::array<std::byte, 10> buffer{};
    EXPECT_EQ(client.receive(buffer), 3U);
  });
}

TEST(Udp, an_empty_datagram_and_one_that_is_too_long) {  // N61
  (void)hamgam::run([] {
    auto const a = UdpSocket::bind("127.0.0.1:0");
    auto const b = UdpSocket::connect(a.local_address().to_string());
    b.send({});
    EXPECT_EQ(text_of(a), "");
    b.send(bytes("0123456789"));
    std::array<std::byte, 4> small{};
    auto const received = a.receive_from(small);
    EXPECT_EQ(received.bytes, 4U);
    EXPECT_TRUE(received.truncated);
    b.send(bytes("0123"));
    EXPECT_FALSE(a.receive_from(small).truncated);
    std::vector<std::byte> const huge(70'000);
    EXPECT_EQ(error_of([&] { b.send(huge); }), std::errc::message_size);
    EXPECT_EQ(error_of([&] { b.send_to(huge, a.local_address()); }), std::errc::message_size);
  });
}

// A socket of all addresses talks to both families; addresses are as users write them.
TEST(Udp, all_addresses) {
  (void)hamgam::run([] {
    auto const all = UdpSocket::bind(":0");
    for (const std::string host : {"127.0.0.1", "[::1]"}) {
      UdpSocket one;
      try {
        one = UdpSocket::bind(host + ":0");
      } catch (const Error&) {
        continue;  // no IPv6 here
      }
      one.send_to(bytes("in"), port_of(all, host));
      Address from;
      EXPECT_EQ(text_of(all, &from), "in");
      EXPECT_EQ(from, one.local_address());
      all.send_to(bytes("out"), from);
      EXPECT_EQ(text_of(one), "out");
    }
  });
}

// An empty host is this one: whoever has bound all of its addresses, or IPv4's, hears of it.
TEST(Udp, connect_to_this_host) {
  (void)hamgam::run([] {
    for (const char* host : {"127.0.0.1:0", "0.0.0.0:0", ":0"}) {
      auto const server = UdpSocket::bind(host);
      std::string const port = std::to_string(server.local_address().port());
      auto const client = UdpSocket::connect(":" + port);
      client.send(bytes("in"));
      EXPECT_EQ(text_of(server), "in") << host;
    }
  });
}

// The name of a service that is UDP's only, where the system has a list of them.
TEST(Udp, services_of_its_own) {
  if (getservbyname("tftp", "udp") != nullptr && getservbyname("tftp", "tcp") == nullptr) {
    EXPECT_EQ(UdpSocket::connect("127.0.0.1:tftp").remote_address(),
              Address::parse("127.0.0.1:69"));
    EXPECT_EQ(error_of([] { (void)hamgam::net::TcpConn::dial("127.0.0.1:tftp"); }),
              Errc::no_suitable_address);
  }
}

TEST(Udp, nobody_is_there) {  // N62
  (void)hamgam::run([] {
    std::string gone;
    { gone = UdpSocket::bind("127.0.0.1:0").local_address().to_string(); }
    auto const client = UdpSocket::connect(gone);
    client.send(bytes("anybody?"));
    std::array<std::byte, 10> buffer{};
    try {
      (void)client.receive(buffer);
      ADD_FAILURE() << "received";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), std::errc::connection_refused);
      EXPECT_EQ(e.what(), "read udp " + client.local_address().to_string() + "->" + gone +
                              ": Connection refused");
    }
  });
}

TEST(Udp, close_wakes_who_waits) {  // N20
  (void)hamgam::run([] {
    for (int i = 0; i < hamgam::test::scaled(200); ++i) {
      auto const socket = UdpSocket::bind("127.0.0.1:0");
      std::atomic<int> begun{0};
      hamgam::WaitGroup group;
      for (int k = 0; k < 3; ++k) {
        group.go([&] {
          ++begun;
          std::array<std::byte, 10> buffer{};
          std::error_code error;
          (void)socket.receive_from(buffer, error);
          EXPECT_EQ(error, Errc::closed);
        });
      }
      if (i % 2 == 0) {
        hamgam::test::until([&] { return begun.load() == 3; });
      }
      socket.close();
      group.wait();
      EXPECT_EQ(socket.fd(), -1);
      EXPECT_EQ(error_of([&] { socket.send_to({}, Address::parse("127.0.0.1:9")); }), Errc::closed);
      EXPECT_EQ(error_of([&] { (void)socket.local_address(); }), Errc::closed);
      EXPECT_EQ(error_of([&] { socket.set_read_deadline(Clock::now()); }), Errc::closed);
    }
  });
}

TEST(Udp, deadlines_and_limits) {  // N16
  (void)hamgam::run([] {
    auto const a = UdpSocket::bind("127.0.0.1:0");
    auto const b = UdpSocket::bind("127.0.0.1:0");
    std::array<std::byte, 10> buffer{};
    EXPECT_FALSE(a.receive_from_for(buffer, 1ms));
    EXPECT_FALSE(a.receive_from_until(buffer, Clock::now() + 1ms));
    std::stop_source stop;
    stop.request_stop();
    EXPECT_FALSE(a.receive_from(buffer, stop.get_token()));
    // What is there is taken nevertheless.
    EXPECT_TRUE(b.send_to(bytes("x"), a.local_address(), stop.get_token()));
    EXPECT_TRUE(b.send_to_for(bytes("x"), a.local_address(), 0ms));
    EXPECT_TRUE(b.send_to_until(bytes("x"), a.local_address(), Clock::now()));
    EXPECT_TRUE(a.receive_from(buffer, stop.get_token()));
    EXPECT_TRUE(a.receive_from_for(buffer, 0ms));
    EXPECT_TRUE(a.receive_from_until(buffer, Clock::now() - 1s));
    // A deadline of the socket fails also then.
    b.send_to(bytes("x"), a.local_address());
    a.set_read_deadline(Clock::now() - 1s);
    EXPECT_EQ(error_of([&] { (void)a.receive(buffer); }), Errc::deadline);
    a.send_to(bytes("x"), b.local_address());  // in the other direction there is none
    a.set_write_deadline(Clock::now() - 1s);
    EXPECT_EQ(error_of([&] { a.send_to(bytes("x"), b.local_address()); }), Errc::deadline);
    a.set_deadline(hamgam::TimePoint::max());
    EXPECT_EQ(a.receive(buffer), 1U);
    // Moving it wakes who waits.
    hamgam::WaitGroup group;
    group.go([&] {
      std::array<std::byte, 10> room{};
      EXPECT_EQ(error_of([&] { (void)a.receive(room); }), Errc::deadline);
    });
    hamgam::yield();
    a.set_read_deadline(Clock::now());
    group.wait();
  });
}

TEST(Udp, what_is_refused) {
  (void)hamgam::run([] {
    UdpSocket const none;
    std::array<std::byte, 10> buffer{};
    EXPECT_EQ(error_of([&] { (void)none.receive(buffer); }), Errc::closed);
    EXPECT_EQ(error_of([&] { none.send(buffer); }), Errc::closed);
    auto const a = UdpSocket::bind("127.0.0.1:0");
    EXPECT_EQ(error_of([&] { a.send_to(buffer, Address::parse("/run/x")); }),
              Errc::no_suitable_address);
    EXPECT_EQ(error_of([&] { a.send_to(buffer, Address()); }), Errc::no_suitable_address);
    EXPECT_EQ(error_of([&] { a.send(buffer); }), std::errc::destination_address_required);
    EXPECT_EQ(error_of([&] { (void)UdpSocket::bind(a.local_address().to_string()); }),
              std::errc::address_in_use);
    EXPECT_TRUE(error_of([&] { (void)UdpSocket::bind("127.0.0.1"); }));
  });
}

// Many at once, on one socket at each end, from goroutines and from a thread; none is torn.
TEST(Udp, many_at_once) {
  int const before = hamgam::test::open_descriptors();
  int const procs = hamgam::max_procs();
  for (int width : {1, 2, 8}) {
    (void)hamgam::max_procs(width);
    (void)hamgam::run([] {
      auto const server = UdpSocket::bind("127.0.0.1:0");
      auto echo = [&server] {
        std::array<std::byte, 100> buffer{};
        std::error_code error;
        while (true) {
          auto const received = server.receive_from(buffer, error);
          if (error) {
            return;
          }
          server.send_to(std::span(buffer).first(received.bytes), received.from, error);
        }
      };
      hamgam::WaitGroup servers;
      servers.go(echo);
      servers.go(echo);
      std::thread thread(echo);
      hamgam::WaitGroup clients;
      for (int i = 0; i < 8; ++i) {
        clients.go([&, i] {
          auto const client = UdpSocket::connect(server.local_address().to_string());
          for (int k = 0; k < hamgam::test::scaled(200); ++k) {
            std::string const text = std::to_string(i) + ":" + std::to_string(k);
            client.send(bytes(text));
            EXPECT_EQ(text_of(client), text);
          }
        });
      }
      clients.wait();
      server.close();
      servers.wait();
      hamgam::blocking([&] { thread.join(); });
    });
  }
  (void)hamgam::max_procs(procs);
  EXPECT_LE(hamgam::test::open_descriptors(), before + 2);  // the poller's
}

}  // namespace
