// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// The kinds of streams, for tests of what they have in common.

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>

#include "hamgam/net.h"

namespace hamgam::test {

inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// What a call of net fails with; none if it does not.
template <class F>
std::error_code net_error_of(F f) {
  try {
    f();
  } catch (const net::Error& e) {
    return e.code();
  }
  return {};
}

struct Tcp {
  using Conn = net::TcpConn;
  static std::pair<Conn, Conn> make() {
    auto listener = net::TcpListener::bind("127.0.0.1:0");
    Conn dialled = net::TcpConn::dial(listener.address().to_string());
    return {dialled, listener.accept()};
  }
};

struct Unix {
  using Conn = net::UnixConn;
  static std::pair<Conn, Conn> make() {
    static std::atomic<int> count{0};
    std::string const name =
        "@hamgam-net-test-" + std::to_string(getpid()) + "-" + std::to_string(count++);
    auto listener = net::UnixListener::bind(name);
    Conn dialled = net::UnixConn::dial(name);
    return {dialled, listener.accept()};
  }
};

struct InMemory {
  using Conn = net::Pipe;
  static std::pair<Conn, Conn> make() { return net::pipe(); }
};

using Streams = testing::Types<Tcp, Unix, InMemory>;

// What comes until the end of the stream.
template <class Conn>
std::string read_to_end(const Conn& conn) {
  std::string all;
  std::array<char, 50'000> buffer;  // NOLINT: not to be cleared each time
  while (std::size_t const n = conn.read_some(std::as_writable_bytes(std::span(buffer)))) {
    all.append(buffer.data(), n);
  }
  return all;
}

}  // namespace hamgam::test
