// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// A server that ends well: on SIGTERM, or Ctrl-C, it accepts nobody any more, finishes what it was
// asked, within a limit, and exits with 0. It has three clients on the loopback here: one that asks
// for nothing, one whose request takes a while, and one whose request takes for ever; and sends
// itself the signal when they are there.
#include <hamgam/hamgam.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <exception>
#include <iostream>
#include <list>
#include <string>
#include <system_error>

namespace {

namespace net = hamgam::net;
using hamgam::CancelGuard;
using hamgam::Context;
using namespace std::chrono_literals;

using Request = std::array<std::byte, 1>;
constexpr Request kLong{std::byte{'l'}};
constexpr Request kEndless{std::byte{'e'}};

class Server {
 public:
  [[nodiscard]] std::string address() const { return listener_.address().to_string(); }

  // How many requests it is at work on.
  hamgam::Atomic<int> at_work;

  // Until ctx is cancelled, and then for `limit` at most. True if every request was answered.
  bool serve(const Context& ctx, std::chrono::milliseconds limit) {
    const auto closes = hamgam::after_func(ctx, [this] { listener_.close(); });
    auto [work, give_up] = hamgam::with_cancel(Context::background());
    const CancelGuard guard(give_up);
    hamgam::WaitGroup connections;
    std::error_code error;
    while (const net::TcpConn conn = listener_.accept(error)) {
      open_.lock()->push_back(conn);
      connections.go([this, conn, work = work] { answer(conn, work); });
    }
    for (const auto& conn : open_.lock()) {
      conn.shutdown_read();  // what was asked is answered, then its goroutine sees the end
    }
    if (connections.wait_for(limit)) {
      return true;
    }
    give_up();
    connections.wait();
    return false;
  }

 private:
  void answer(const net::TcpConn& conn, const Context& work) {
    Request request{};
    std::error_code error;  // the other side may break off at any time
    bool goes_on = true;
    while (goes_on && conn.read_some(request, error) == request.size()) {
      at_work.add(1);
      // Stands for the work.
      goes_on = hamgam::sleep(request == kLong ? 100ms : 1h, work.stop_token());
      if (goes_on) {
        conn.write_all(request, error);
      }
    }
    conn.close();
    open_.lock()->remove(conn);
  }

  net::TcpListener listener_ = net::TcpListener::bind("127.0.0.1:0");
  hamgam::Guarded<std::list<net::TcpConn>> open_;
};

std::string reason(const Context& ctx) {
  try {
    std::rethrow_exception(ctx.cause());
  } catch (const hamgam::SignalError& e) {
    return e.what();
  }
}

// What a client gets: its answer, or the end of the stream.
bool is_answered(const net::TcpConn& conn) {
  Request answer{};
  std::error_code error;
  return conn.read_exact(answer, error) == answer.size();
}

}  // namespace

int main() {
  return hamgam::run([] {
    auto [ctx, cancel] = hamgam::with_signals(Context::background(), {SIGINT, SIGTERM});
    const CancelGuard guard(cancel);
    Server server;
    bool all_answered = true;
    hamgam::WaitGroup serving;
    serving.go([&, ctx = ctx] { all_answered = server.serve(ctx, 2s); });

    const auto idle = net::TcpConn::dial(server.address());
    const auto patient = net::TcpConn::dial(server.address());
    const auto hopeless = net::TcpConn::dial(server.address());
    patient.write_all(kLong);
    hopeless.write_all(kEndless);
    while (server.at_work.load() < 2) {
      hamgam::yield();
    }
    std::raise(SIGTERM);

    std::cout << "idle: " << (is_answered(idle) ? "an answer" : "closed") << '\n';
    std::cout << "long request: " << (is_answered(patient) ? "answered" : "lost") << '\n';
    std::cout << "endless request: " << (is_answered(hopeless) ? "answered" : "given up") << '\n';
    serving.wait();
    std::cout << reason(ctx) << ", " << (all_answered ? "all done" : "the limit was reached")
              << '\n';
    return 0;
  });
}
