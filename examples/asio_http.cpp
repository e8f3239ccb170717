// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Libraries that are built on Asio, in straight lines: Boost.Beast's HTTP server and client, each
// connection a goroutine, in one program. use_goroutine parks the goroutine until the operation has
// ended; a thread of its own runs the io_context.
#include <hamgam/asio.h>
#include <hamgam/hamgam.h>

#include <atomic>
#include <boost/asio.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <iostream>
#include <stop_token>
#include <string>
#include <thread>

namespace {

namespace beast = boost::beast;
namespace http = beast::http;
namespace io = boost::asio;
using boost::system::error_code;
using hamgam::asio::use_goroutine;
using io::ip::tcp;
using namespace std::chrono_literals;

// A connection, until the client has had enough.
void serve(beast::tcp_stream stream) {
  beast::flat_buffer buffer;
  for (;;) {
    http::request<http::string_body> request;
    error_code ec;
    stream.expires_after(30s);
    http::async_read(stream, buffer, request, use_goroutine(ec));
    if (ec) {
      return;  // the client has gone, or is too slow, or talks nonsense
    }
    http::response<http::string_body> response(http::status::ok, request.version());
    response.keep_alive(request.keep_alive());
    response.body() = "You asked for " + std::string(request.target());
    response.prepare_payload();
    http::async_write(stream, response, use_goroutine(ec));
    if (ec || !response.keep_alive()) {
      return;
    }
  }
}

// Until stop is requested, then until the last connection has ended.
void accept(io::io_context& context, tcp::acceptor& acceptor, const std::stop_token& stop) {
  hamgam::WaitGroup connections;
  error_code ec;
  for (;;) {
    beast::tcp_stream stream(context);
    acceptor.async_accept(stream.socket(), use_goroutine(ec, stop, acceptor));
    if (ec) {
      break;
    }
    connections.go([s = std::move(stream)]() mutable { serve(std::move(s)); });
  }
  connections.wait();
}

// Asks for some pages over one connection; how many came.
int visit(io::io_context& context, const tcp::endpoint& server, int pages) {
  beast::tcp_stream stream(context);
  stream.expires_after(30s);
  stream.async_connect(server, use_goroutine);
  beast::flat_buffer buffer;
  int right = 0;
  for (int i = 1; i <= pages; ++i) {
    const std::string page = "/page/" + std::to_string(i);
    http::request<http::empty_body> request(http::verb::get, page, 11);
    request.set(http::field::host, "localhost");
    request.keep_alive(i != pages);
    http::async_write(stream, request, use_goroutine);
    http::response<http::string_body> response;
    http::async_read(stream, buffer, response, use_goroutine);
    right += response.body() == "You asked for " + page ? 1 : 0;
  }
  return right;
}

}  // namespace

int main() {
  io::io_context context(1);
  const auto work = io::make_work_guard(context);
  std::thread runner([&] { context.run(); });

  const int status = hamgam::run([&] {
    constexpr int kVisitors = 20;
    constexpr int kPages = 5;
    tcp::acceptor acceptor(context, {io::ip::address_v4::loopback(), 0});
    const auto address = acceptor.local_endpoint();
    std::stop_source stop;
    auto server = hamgam::spawn([&] { accept(context, acceptor, stop.get_token()); });

    std::atomic<int> right{0};
    hamgam::WaitGroup visitors;
    for (int i = 0; i < kVisitors; ++i) {
      visitors.go([&] { right += visit(context, address, kPages); });
    }
    visitors.wait();
    stop.request_stop();
    server.get();
    std::cout << right << " of " << kVisitors * kPages << " pages came\n";
    return right == kVisitors * kPages ? 0 : 1;
  });

  context.stop();
  runner.join();
  return status;
}
