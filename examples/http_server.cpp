// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// An HTTP/1.1 server with a goroutine for each connection. Boost.Beast parses the requests, the
// sockets are ours. A connection holds a buffer only while a request comes in; header, body and the
// time for a request are limited, so that clients which send a byte now and then cost little and
// hinder nobody. SIGTERM or SIGINT: no new connections, idle ones are closed, requests that came
// are answered.
//
//   http_server [HOST:PORT]       GET / and /slow, POST /echo
#include <hamgam/hamgam.h>
#include <hamgam/net.h>
#include <hamgam/signals.h>

#include <algorithm>
#include <array>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <span>
#include <string>
#include <system_error>

namespace {

namespace http = boost::beast::http;
namespace net = hamgam::net;
using namespace std::chrono_literals;
using hamgam::Clock;

constexpr std::size_t kMostHeader = 8 * 1024;
constexpr std::size_t kMostBody = 1024 * 1024;
constexpr auto kForRequest = 5s;  // from its first byte to its last
constexpr auto kForAnswer = 10s;  // for the client to take it
constexpr auto kIdle = 60s;       // between two requests
constexpr auto kForShutdown = 10s;

using Buffer = std::array<char, 2 * kMostHeader>;
using Request = http::request<http::string_body>;

// ---- what is served --------------------------------------------------------------------------

struct Response {
  http::status status = http::status::ok;
  std::string body;
};

Response handle(const Request& request) {
  if (request.target() == "/echo" && request.method() == http::verb::post) {
    return {http::status::ok, request.body()};
  }
  if (request.method() != http::verb::get) {
    return {http::status::method_not_allowed, "Not like this.\n"};
  }
  if (request.target() == "/") {
    return {http::status::ok, "Hello, World!\n"};
  }
  if (request.target() == "/slow") {
    hamgam::sleep(500ms);
    return {http::status::ok, "That took a while.\n"};
  }
  return {http::status::not_found, "There is no such page.\n"};
}

// ---- a connection ----------------------------------------------------------------------------

void append(std::string& out, const Response& response, bool keep_alive) {
  auto const reason = http::obsolete_reason(response.status);
  out += "HTTP/1.1 " + std::to_string(static_cast<unsigned>(response.status)) + " ";
  out.append(reason.data(), reason.size());
  out += "\r\nContent-Type: text/plain\r\nContent-Length: " + std::to_string(response.body.size());
  out += keep_alive ? "\r\n\r\n" : "\r\nConnection: close\r\n\r\n";
  out += response.body;
}

// What a request that cannot be parsed gets.
Response refusal(const boost::system::error_code& error) {
  if (error == http::error::header_limit) {
    return {http::status::request_header_fields_too_large, "The header is too large.\n"};
  }
  if (error == http::error::body_limit) {
    return {http::status::payload_too_large, "The body is too large.\n"};
  }
  return {http::status::bad_request, "This is no request.\n"};
}

class Connection {
 public:
  Connection(net::TcpConn conn, hamgam::Context ctx)
      : conn_(std::move(conn)), ctx_(std::move(ctx)) {}

  void serve() {
    // Who waits for a next request is woken when the server is to end.
    auto const wake =
        hamgam::after_func(ctx_, [conn = conn_] { conn.set_read_deadline(Clock::now()); });
    try {
      while (!ended_) {
        conn_.set_read_deadline(Clock::now() + kIdle);
        if (ctx_.err()) {
          break;
        }
        conn_.wait_readable();
        auto const buffer = g_buffers.get();
        do {
          serve_one(*buffer);
        } while (!ended_ && had_ > 0);  // several came at once
        flush();
      }
    } catch (const net::Error&) {  // it was idle for too long, or went away
    }
    (void)wake.stop();
  }

 private:
  // Reads a request and answers it, perhaps only into out_.
  void serve_one(Buffer& buffer) {
    http::request_parser<http::string_body> parser;
    parser.eager(true);
    parser.header_limit(kMostHeader);
    parser.body_limit(kMostBody);
    auto const limit = Clock::now() + kForRequest;
    conn_.set_read_deadline(limit);
    bool invited = false;
    for (;;) {
      boost::system::error_code error;
      std::size_t const used = parser.put(boost::asio::const_buffer(buffer.data(), had_), error);
      std::copy(buffer.begin() + used, buffer.begin() + had_, buffer.begin());
      had_ -= used;
      if (error && error != http::error::need_more) {
        return refuse(refusal(error));
      }
      if (parser.is_done()) {
        break;
      }
      if (parser.is_header_done() && !invited && parser.get()["Expect"] == "100-continue") {
        invited = true;
        out_ += "HTTP/1.1 100 Continue\r\n\r\n";
      }
      if (!read_more(buffer, limit)) {
        return;
      }
    }
    Request const request = parser.release();
    bool const keep_alive = request.keep_alive() && !ctx_.err();
    try {
      append(out_, handle(request), keep_alive);
    } catch (const std::exception&) {
      append(out_, {http::status::internal_server_error, "That went wrong.\n"}, keep_alive);
    }
    ended_ = !keep_alive;
  }

  bool read_more(Buffer& buffer, Clock::time_point limit) {
    flush();
    for (;;) {
      std::error_code error;
      std::size_t const got =
          conn_.read_some(std::as_writable_bytes(std::span(buffer)).subspan(had_), error);
      if (error == net::Errc::deadline && Clock::now() < limit) {
        conn_.set_read_deadline(limit);  // the server is to end, but this request has begun
        continue;
      }
      if (error == net::Errc::deadline) {
        refuse({http::status::request_timeout, "That took too long.\n"});
      }
      ended_ = ended_ || error || got == 0;
      had_ += got;
      return !ended_;
    }
  }

  void refuse(const Response& response) {
    append(out_, response, false);
    ended_ = true;
  }

  void flush() {
    if (!out_.empty()) {
      conn_.set_write_deadline(Clock::now() + kForAnswer);
      conn_.write_all(std::as_bytes(std::span(out_)));
      out_.clear();
    }
  }

  static inline hamgam::Pool<Buffer> g_buffers;

  net::TcpConn conn_;
  hamgam::Context ctx_;
  std::size_t had_ = 0;  // in the buffer, and not parsed yet
  std::string out_;
  bool ended_ = false;
};

hamgam::WaitGroup g_connections;  // lives on if some do not end

int serve(const std::string& where) {
  auto const [ctx, cancel] = hamgam::with_signals(hamgam::Context::background(), {SIGINT, SIGTERM});
  hamgam::CancelGuard const guard(cancel);
  auto const listener = net::TcpListener::bind(where);
  auto const stop = hamgam::after_func(ctx, [listener] { listener.close(); });
  std::printf("listening on %s\n", listener.address().to_string().c_str());
  std::fflush(stdout);
  try {
    for (;;) {
      g_connections.go([conn = listener.accept(), ctx = ctx] { Connection(conn, ctx).serve(); });
    }
  } catch (const net::Error& e) {
    if (e.code() != net::Errc::closed) {
      throw;
    }
  }
  cancel();  // another signal ends the program at once
  bool const all = g_connections.wait_for(kForShutdown);
  std::puts(all ? "all have been answered" : "some would not end");
  return all ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  std::string const where = argc > 1 ? argv[1] : "127.0.0.1:8080";
  return hamgam::run([&] { return serve(where); });
}
