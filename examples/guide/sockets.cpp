// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// A server that counts letters, with a goroutine for each connection.
#include <hamgam/hamgam.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <iostream>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

namespace {

namespace net = hamgam::net;
using namespace std::chrono_literals;

std::string read_some(const net::TcpConn& conn) {
  std::array<char, 100> bytes{};
  const std::size_t size = conn.read_some(std::as_writable_bytes(std::span(bytes)));
  return {bytes.data(), size};
}

void write(const net::TcpConn& conn, std::string_view text) {
  conn.write_all(std::as_bytes(std::span(text)));
}

// [answer]
void answer(const net::TcpConn& conn) {
  conn.set_deadline(hamgam::Clock::now() + 10s);  // for the whole conversation
  std::string word;
  while (word.empty() || word.back() != '\n') {
    const std::string more = read_some(conn);
    if (more.empty()) {
      return;  // the client has gone
    }
    word += more;
  }
  write(conn, std::to_string(word.size() - 1) + " letters");
}
// [/answer]

// [naive]
void serve_with_threads(const net::TcpListener& listener, int clients) {
  std::vector<std::jthread> threads;
  for (int i = 0; i < clients; ++i) {
    threads.emplace_back([conn = listener.accept()] { answer(conn); });
  }
}
// [/naive]

// [ours]
void serve(const net::TcpListener& listener) {
  hamgam::WaitGroup connections;
  std::error_code closed;
  while (const net::TcpConn conn = listener.accept(closed)) {
    connections.go([conn] {
      try {
        answer(conn);
      } catch (const net::Error& e) {  // broken off, or too slow
        std::cerr << e.what() << '\n';
      }
    });
  }
  connections.wait();
}
// [/ours]

std::string ask(const net::TcpListener& listener, const std::string& word) {
  const auto conn = net::TcpConn::dial(listener.address().to_string());
  write(conn, word + "\n");
  return read_some(conn);
}

}  // namespace

int main() {
  return hamgam::run([] {
    const auto listener = net::TcpListener::bind("127.0.0.1:0");
    hamgam::WaitGroup server;
    server.go([&] { serve_with_threads(listener, 1); });
    std::cout << "a thread: " << ask(listener, "salaam") << '\n';
    server.wait();

    server.go([&] { serve(listener); });
    hamgam::Atomic<int> right{0};
    hamgam::WaitGroup clients;
    for (int i = 0; i < 100; ++i) {
      clients.go([&] { right.add(ask(listener, "hamgam") == "6 letters" ? 1 : 0); });
    }
    clients.wait();
    std::cout << "goroutines: " << right.load() << " of 100 answers\n";

    // [limits]
    const auto silent = net::TcpConn::dial(listener.address().to_string());
    std::array<std::byte, 100> buffer{};
    const auto got = silent.read_some_for(buffer, 20ms);
    std::cout << "within 20 ms: " << (got ? "something" : "nothing") << '\n';
    silent.close();
    // [/limits]

    // [end]
    listener.close();
    server.wait();  // for the conversations that have begun
    std::cout << "the server has ended\n";
    // [/end]
  });
}
