// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
//
// Boost.Beast's HTTP client and server, each connection a goroutine in straight lines.
#include <gtest/gtest.h>

#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>
#include <chrono>
#include <stop_token>
#include <string>
#include <utility>

#include "hamgam/asio.h"
#include "hamgam/atomic.h"
#include "hamgam/go.h"
#include "hamgam/spawn.h"
#include "hamgam/waitgroup.h"
#include "support/io_loop.h"
#include "support/scale.h"

namespace hamgam {
namespace {

using asio::use_goroutine;
using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace): literals
using test::error_code;
using test::IoLoop;
using test::system_error;
namespace beast = boost::beast;
namespace http = beast::http;
namespace io = test::io;
using io::ip::tcp;
using Request = http::request<http::string_body>;
using Response = http::response<http::string_body>;

constexpr auto kPatience = 30s;

Response handle(const Request& request) {
  bool const known = request.target() == "/echo";
  Response response(known ? http::status::ok : http::status::not_found, request.version());
  response.keep_alive(request.keep_alive());
  response.body() = known ? "echo of " + request.body() : "no such page";
  response.prepare_payload();
  return response;
}

void serve_websocket(beast::tcp_stream stream, const Request& upgrade) {
  beast::websocket::stream<beast::tcp_stream> socket(std::move(stream));
  socket.async_accept(upgrade, use_goroutine);
  for (;;) {
    beast::flat_buffer buffer;
    error_code ec;
    socket.async_read(buffer, use_goroutine(ec));
    if (ec) {
      EXPECT_EQ(ec, beast::websocket::error::closed);
      return;
    }
    socket.text(socket.got_text());
    socket.async_write(buffer.data(), use_goroutine);
  }
}

// A connection, until the client closes it or does not want to keep it.
void serve(beast::tcp_stream stream) {
  beast::flat_buffer buffer;
  for (;;) {
    Request request;
    error_code ec;
    stream.expires_after(kPatience);
    http::async_read(stream, buffer, request, use_goroutine(ec));
    if (ec == http::error::end_of_stream) {
      break;
    }
    if (ec) {  // what cannot be understood
      Response response(http::status::bad_request, 11);
      response.keep_alive(false);
      response.prepare_payload();
      http::async_write(stream, response, use_goroutine);
      break;
    }
    if (beast::websocket::is_upgrade(request)) {
      serve_websocket(std::move(stream), request);
      return;
    }
    Response response = handle(request);
    http::async_write(stream, response, use_goroutine);
    if (!response.keep_alive()) {
      break;
    }
  }
  error_code ignored;
  stream.socket().shutdown(tcp::socket::shutdown_send, ignored);
}

class Server {
 public:
  explicit Server(IoLoop& loop)
      : acceptor_(io::make_strand(loop.context), {io::ip::address_v4::loopback(), 0}),
        address_(acceptor_.local_endpoint()),
        accepts_(spawn([&] { accept(loop); })) {}

  [[nodiscard]] tcp::endpoint address() const { return address_; }

  // Nobody else is let in, and who is in is served to the end.
  int end() {
    stop_.request_stop();
    accepts_.get();
    connections_.wait();
    return accepted_;
  }

 private:
  void accept(IoLoop& loop) {
    for (;;) {
      error_code ec;
      beast::tcp_stream stream(io::make_strand(loop.context));
      acceptor_.async_accept(stream.socket(), use_goroutine(ec, stop_.get_token(), acceptor_));
      if (ec) {
        EXPECT_EQ(ec, io::error::operation_aborted);
        return;
      }
      ++accepted_;
      connections_.go([s = std::move(stream)]() mutable { serve(std::move(s)); });
    }
  }

  tcp::acceptor acceptor_;
  tcp::endpoint address_;
  std::stop_source stop_;
  WaitGroup connections_;
  int accepted_ = 0;
  Task<void> accepts_;
};

beast::tcp_stream connect(IoLoop& loop, const Server& server) {
  beast::tcp_stream stream(io::make_strand(loop.context));
  stream.expires_after(kPatience);
  stream.async_connect(server.address(), use_goroutine);
  return stream;
}

Response ask(beast::tcp_stream& stream, const std::string& target, const std::string& body,
             bool keep) {
  Request request(http::verb::post, target, 11);
  request.set(http::field::host, "localhost");
  request.keep_alive(keep);
  request.body() = body;
  request.prepare_payload();
  stream.expires_after(kPatience);
  http::async_write(stream, request, use_goroutine);
  beast::flat_buffer buffer;
  Response response;
  http::async_read(stream, buffer, response, use_goroutine);
  return response;
}

void clients(IoLoop& loop, const Server& server, int count, int requests) {
  Atomic<int> right{0};
  WaitGroup group;
  for (int i = 0; i < count; ++i) {
    group.go([&, i] {
      auto stream = connect(loop, server);
      for (int k = 1; k <= requests; ++k) {
        std::string const body(static_cast<std::size_t>(i * k), 'x');
        auto const response = ask(stream, "/echo", body, k != requests);
        right.add(response.result() == http::status::ok && response.body() == "echo of " + body);
      }
      // The last one was not to be kept: the server closes.
      char byte = 0;
      error_code ec;
      stream.async_read_some(io::buffer(&byte, 1), use_goroutine(ec));
      EXPECT_EQ(ec, io::error::eof);
    });
  }
  group.wait();
  EXPECT_EQ(right.load(), count * requests);
}

TEST(Beast, HttpWithOneThread) {
  IoLoop loop;
  run([&] {
    Server server(loop);
    clients(loop, server, 20, test::scaled(100));
    EXPECT_EQ(server.end(), 20);
  });
}

TEST(Beast, HttpWithThreads) {
  IoLoop loop(2);
  run([&] {
    Server server(loop);
    clients(loop, server, 50, test::scaled(40));
    EXPECT_EQ(server.end(), 50);
  });
}

TEST(Beast, HttpFromAPlainThread) {
  IoLoop loop;
  Server server(loop);
  auto stream = connect(loop, server);
  EXPECT_EQ(ask(stream, "/nowhere", "", true).result(), http::status::not_found);
  EXPECT_EQ(ask(stream, "/echo", "me", false).body(), "echo of me");
  EXPECT_EQ(server.end(), 1);
}

// A request that was begun when the server ended is answered.
TEST(Beast, AGracefulEnd) {
  IoLoop loop;
  run([&] {
    Server server(loop);
    auto stream = connect(loop, server);
    EXPECT_EQ(ask(stream, "/echo", "first", true).body(), "echo of first");
    auto ends = spawn([&] { return server.end(); });
    EXPECT_EQ(ask(stream, "/echo", "second", false).body(), "echo of second");
    EXPECT_EQ(ends.get(), 1);
  });
}

TEST(Beast, NonsenseIsRefused) {
  IoLoop loop;
  run([&] {
    Server server(loop);
    auto stream = connect(loop, server);
    io::async_write(stream, io::buffer(std::string("nonsense\r\n\r\n")), use_goroutine);
    beast::flat_buffer buffer;
    Response response;
    http::async_read(stream, buffer, response, use_goroutine);
    EXPECT_EQ(response.result(), http::status::bad_request);
    EXPECT_EQ(server.end(), 1);
  });
}

// Beast's own limit, and ours.
TEST(Beast, ASilentServer) {
  IoLoop loop;
  run([&] {
    tcp::acceptor silent(loop.context, {io::ip::address_v4::loopback(), 0});
    beast::tcp_stream stream(io::make_strand(loop.context));
    stream.async_connect(silent.local_endpoint(), use_goroutine);
    char byte = 0;
    error_code ec;
    stream.async_read_some(io::buffer(&byte, 1), use_goroutine(ec, 10ms, stream));
    EXPECT_EQ(ec, io::error::timed_out);

    stream.close();
    stream.async_connect(silent.local_endpoint(), use_goroutine);
    stream.expires_after(10ms);
    beast::flat_buffer buffer;
    Response response;
    http::async_read(stream, buffer, response, use_goroutine(ec));
    EXPECT_EQ(ec, beast::error::timeout);
  });
}

TEST(Beast, WebSocket) {
  IoLoop loop;
  run([&] {
    Server server(loop);
    beast::websocket::stream<beast::tcp_stream> socket(connect(loop, server));
    beast::get_lowest_layer(socket).expires_never();
    socket.async_handshake("localhost", "/", use_goroutine);
    for (int i = 0; i < 20; ++i) {
      std::string const text = "message " + std::to_string(i);
      socket.async_write(io::buffer(text), use_goroutine);
      beast::flat_buffer buffer;
      socket.async_read(buffer, use_goroutine);
      EXPECT_EQ(beast::buffers_to_string(buffer.data()), text);
    }
    socket.async_close(beast::websocket::close_code::normal, use_goroutine);
    EXPECT_EQ(server.end(), 1);
  });
}

}  // namespace
}  // namespace hamgam
