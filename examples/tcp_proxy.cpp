// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// A proxy: what comes in at one address goes to another one and back, by the kernel where it can.
// One side's end is passed on while the other direction goes on; who breaks off ends both.
//
//   tcp_proxy                     an echo server, the proxy before it, and clients
//   tcp_proxy HOST:PORT HOST:PORT listens at the first and goes to the second, until Ctrl-C
#include <hamgam/hamgam.h>
#include <hamgam/net.h>
#include <hamgam/signals.h>

#include <atomic>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <span>
#include <string>
#include <system_error>
#include <utility>

namespace {

namespace net = hamgam::net;

// From one to the other until the end, which is passed on.
void pass_on(const net::TcpConn& from, const net::TcpConn& to) {
  try {
    (void)net::copy(from, to);
    to.shutdown_write();
  } catch (const net::Error&) {  // broken off: nobody is there for the rest
    from.close();
    to.close();
  }
}

void proxy(const net::TcpConn& client, const std::string& target) {
  std::error_code error;
  net::TcpConn const server = net::TcpConn::dial(target, error);
  if (error) {
    client.close();
    return;
  }
  hamgam::WaitGroup back;
  back.go([&] { pass_on(server, client); });
  pass_on(client, server);
  back.wait();
}

// Calls serve(connection) for each in a goroutine of its own, until the context is cancelled.
template <class Serve>
void listen(const net::TcpListener& listener, const hamgam::Context& ctx, Serve serve) {
  auto const stop = hamgam::after_func(ctx, [listener] { listener.close(); });
  hamgam::WaitGroup connections;
  std::error_code error;
  while (net::TcpConn conn = listener.accept(error)) {
    connections.go([&ctx, &serve, conn = std::move(conn)] {
      auto const hang_up = hamgam::after_func(ctx, [conn] { conn.close(); });
      serve(conn);
      (void)hang_up.stop();
    });
  }
  connections.wait();
}

int demonstrate() {
  constexpr int kClients = 50;
  constexpr std::size_t kBytes = 1'000'000;
  auto [ctx, cancel] = hamgam::with_cancel(hamgam::Context::background());
  auto const echo = net::TcpListener::bind("127.0.0.1:0");
  auto const front = net::TcpListener::bind("127.0.0.1:0");
  hamgam::WaitGroup servers;
  servers.go([&echo, ctx = ctx] {
    listen(echo, ctx, [](const net::TcpConn& conn) { pass_on(conn, conn); });
  });
  servers.go([&echo, &front, ctx = ctx] {
    std::string const target = echo.address().to_string();
    listen(front, ctx, [&](const net::TcpConn& conn) { proxy(conn, target); });
  });

  std::atomic<int> right{0};
  hamgam::WaitGroup clients;
  for (int i = 0; i < kClients; ++i) {
    clients.go([&front, &right, i] {
      auto const conn = net::TcpConn::dial(front.address().to_string());
      std::string const sent(kBytes, static_cast<char>('a' + i % 26));
      hamgam::WaitGroup writer;
      writer.go([&] {
        conn.write_all(std::as_bytes(std::span(sent)));
        conn.shutdown_write();
      });
      std::string back(kBytes + 1, '\0');
      back.resize(conn.read_exact(std::as_writable_bytes(std::span(back))));  // until the end
      right += back == sent ? 1 : 0;
      writer.wait();
    });
  }
  clients.wait();
  cancel();
  servers.wait();
  std::printf("%d of %d megabytes came back\n", right.load(), kClients);
  return 0;
}

int serve(const std::string& where, const std::string& target) {
  auto const [ctx, cancel] = hamgam::with_signals(hamgam::Context::background(), {SIGINT, SIGTERM});
  hamgam::CancelGuard const guard(cancel);
  listen(net::TcpListener::bind(where), ctx,
         [&](const net::TcpConn& conn) { proxy(conn, target); });
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return hamgam::run([&] { return argc == 3 ? serve(argv[1], argv[2]) : demonstrate(); });
}
