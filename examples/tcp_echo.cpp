// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// A server that sends back what it gets, with a goroutine for each connection, and clients that
// talk to it. All on the loopback; it ends when the listener is closed.
#include <hamgam/hamgam.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <iostream>
#include <span>
#include <string>

namespace {

namespace net = hamgam::net;

void echo(const net::TcpConn& conn) {
  std::array<std::byte, 4096> buffer{};
  std::error_code error;  // the other side may break off at any time
  while (const std::size_t size = conn.read_some(buffer, error)) {
    conn.write_all(std::span(buffer).first(size), error);
  }
}

// Until the listener is closed, then until the last connection is.
void serve(const net::TcpListener& listener) {
  hamgam::WaitGroup connections;
  try {
    for (;;) {
      connections.go([conn = listener.accept()] { echo(conn); });
    }
  } catch (const net::Error& e) {
    if (e.code() != net::Errc::closed) {
      std::cerr << e.what() << '\n';
    }
  }
  connections.wait();
}

bool comes_back(const std::string& address, const std::string& text) {
  const auto conn = net::TcpConn::dial(address);
  conn.write_all(std::as_bytes(std::span(text)));
  std::string answer(text.size(), '\0');
  return conn.read_exact(std::as_writable_bytes(std::span(answer))) == text.size() &&
         answer == text;
}

}  // namespace

int main() {
  return hamgam::run([] {
    constexpr int kClients = 100;
    const auto listener = net::TcpListener::bind("127.0.0.1:0");
    const std::string address = listener.address().to_string();
    hamgam::WaitGroup server;
    server.go([&] { serve(listener); });

    std::atomic<int> right{0};
    hamgam::WaitGroup clients;
    for (int i = 0; i < kClients; ++i) {
      clients.go([&, i] { right += comes_back(address, "line " + std::to_string(i)) ? 1 : 0; });
    }
    clients.wait();
    listener.close();
    server.wait();
    std::cout << right << " of " << kClients << " lines came back\n";
    return right == kClients ? 0 : 1;
  });
}
