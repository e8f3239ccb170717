// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "hamgam/hamgam.h"
#include "hamgam/net.h"
#include "support/scale.h"

// A read of TCP that got less than it asked for tells that there is no more: but not if the end
// came with it, nor before urgent data.

namespace hamgam {
namespace {

std::pair<net::TcpConn, net::TcpConn> connect() {
  auto const listener = net::TcpListener::bind("127.0.0.1:0");
  auto client = net::TcpConn::dial(listener.address().to_string());
  return {listener.accept(), client};
}

void write(const net::TcpConn& conn, std::string_view text) {
  conn.write_all(std::as_bytes(std::span(text)));
}

std::string read(const net::TcpConn& conn) {
  std::array<char, 64> buffer{};
  std::size_t const size = conn.read_some(std::as_writable_bytes(std::span(buffer)));
  return {buffer.data(), size};
}

// Sleeps once, so that the descriptor is registered.
void warm_up(const net::TcpConn& server, const net::TcpConn& client) {
  WaitGroup group;
  group.go([&] { EXPECT_EQ(read(server), "x"); });
  yield();
  write(client, "x");
  group.wait();
}

TEST(ShortRead, the_end_comes_with_the_bytes) {
  (void)run([] {
    int const rounds = test::scaled(2000);
    for (int i = 0; i < rounds; ++i) {
      auto [server, client] = connect();
      warm_up(server, client);
      WaitGroup group;
      group.go([client = client] {
        write(client, "a");
        client.shutdown_write();
      });
      EXPECT_EQ(read(server), "a");
      EXPECT_EQ(read(server), "");
      group.wait();
    }
  });
}

TEST(ShortRead, the_end_is_there_before_the_read) {
  (void)run([] {
    auto [server, client] = connect();
    warm_up(server, client);
    write(client, "abc");
    client.shutdown_write();
    sleep(std::chrono::milliseconds(20));  // the event has come, most likely
    EXPECT_EQ(read(server), "abc");
    EXPECT_EQ(read(server), "");
    EXPECT_EQ(read(server), "");
  });
}

// The event may not have been taken from the kernel yet.
TEST(ShortRead, what_is_there_is_read_within_any_limit) {
  (void)run([] {
    auto [server, client] = connect();
    warm_up(server, client);
    std::stop_source stopped;
    stopped.request_stop();
    std::array<std::byte, 64> buffer{};
    for (int i = 0; i < 500; ++i) {
      write(client, "x");
      pollfd arrived{server.fd(), POLLIN, 0};
      ASSERT_EQ(poll(&arrived, 1, -1), 1);
      auto const got = i % 2 == 0 ? server.read_some_for(buffer, std::chrono::seconds(0))
                                  : server.read_some(buffer, stopped.get_token());
      ASSERT_TRUE(got.has_value());
      EXPECT_EQ(*got, 1U);
      ASSERT_FALSE(server.read_some_for(buffer, std::chrono::seconds(0)).has_value());
    }
  });
}

TEST(ShortRead, urgent_data) {
  (void)run([] {
    for (int i = 0; i < 50; ++i) {
      auto [server, client] = connect();
      warm_up(server, client);
      write(client, "a");
      ASSERT_EQ(send(client.fd(), "!", 1, MSG_OOB), 1);
      write(client, "b");
      std::string got;
      while (got.size() < 2) {  // what is urgent is not in the stream
        got += read(server);
      }
      EXPECT_EQ(got, "ab");
    }
  });
}

TEST(ShortRead, ping_pong_of_any_size) {
  (void)run([] {
    auto [server, client] = connect();
    WaitGroup group;
    int const rounds = test::scaled(5000);
    group.go([&, server = server] {
      for (int i = 0; i < rounds; ++i) {
        std::string text(static_cast<std::size_t>(i % 130 + 1), 'x');
        EXPECT_EQ(server.read_exact(std::as_writable_bytes(std::span(text))), text.size());
        write(server, text);
      }
    });
    for (int i = 0; i < rounds; ++i) {
      std::string const text(static_cast<std::size_t>(i % 130 + 1), 'y');
      write(client, text);
      std::string back;
      while (back.size() < text.size()) {
        if (i % 3 == 0) {
          client.wait_readable();
        }
        back += read(client);
      }
      EXPECT_EQ(back, text);
    }
    group.wait();
  });
}

}  // namespace
}  // namespace hamgam
