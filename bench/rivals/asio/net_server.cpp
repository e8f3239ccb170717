// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// The server of bench/net_server.cpp on Boost.Asio, by handlers, which cost less than its
// coroutines. What computes gets a thread of its own: Asio preempts nobody.
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "harness/computing.h"
#include "harness/http_answers.h"
#include "harness/redis_answers.h"

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using Error = boost::system::error_code;

class Echo : public std::enable_shared_from_this<Echo> {
 public:
  explicit Echo(tcp::socket socket) : socket_(std::move(socket)) {}

  void read() {
    socket_.async_read_some(asio::buffer(buffer_),
                            [self = shared_from_this()](const Error& error, std::size_t size) {
                              if (!error) self->write(size);
                            });
  }

 private:
  void write(std::size_t size) {
    asio::async_write(socket_, asio::buffer(buffer_, size),
                      [self = shared_from_this()](const Error& error, std::size_t) {
                        if (!error) self->read();
                      });
  }

  tcp::socket socket_;
  std::array<std::byte, 1024> buffer_;  // NOLINT: filled by reads
};

template <class Answers>
class Session : public std::enable_shared_from_this<Session<Answers>> {
 public:
  explicit Session(tcp::socket socket) : socket_(std::move(socket)) {}

  void read() {
    const auto room = answers_.room();
    socket_.async_read_some(
        asio::buffer(room.data(), room.size()),
        [self = this->shared_from_this()](const Error& error, std::size_t size) {
          if (error) return;
          self->more_ = self->answers_.take(size);
          self->write();
        });
  }

 private:
  void write() {
    if (answers_.out().empty()) {
      if (more_) read();
      return;
    }
    asio::async_write(socket_, asio::buffer(answers_.out()),
                      [self = this->shared_from_this()](const Error& error, std::size_t) {
                        self->answers_.out().clear();
                        if (!error && self->more_) self->read();
                      });
  }

  tcp::socket socket_;
  Answers answers_;
  bool more_ = true;
};

template <class Connection>
void accept(tcp::acceptor& acceptor) {
  acceptor.async_accept([&acceptor](const Error& error, tcp::socket socket) {
    if (!error) {
      std::make_shared<Connection>(std::move(socket))->read();
    }
    accept<Connection>(acceptor);
  });
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view kind = argc > 1 ? argv[1] : "echo";
  const int computing = argc > 2 ? std::atoi(argv[2]) : 0;
  const char* procs = std::getenv("HAMGAM_PROCS");
  const int workers = procs != nullptr ? std::atoi(procs) : 1;
  asio::io_context context(workers);
  tcp::acceptor acceptor(context, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  acceptor.set_option(tcp::no_delay(true));  // Linux hands them down to the connections
  acceptor.set_option(asio::socket_base::keep_alive(true));
  acceptor.listen(4096);
  std::printf("%u\n", acceptor.local_endpoint().port());
  std::fflush(stdout);
  if (kind == "http") {
    accept<Session<bench::HttpAnswers>>(acceptor);
  } else if (kind == "redis") {
    accept<Session<bench::RedisAnswers>>(acceptor);
  } else {
    accept<Echo>(acceptor);
  }
  std::vector<std::jthread> threads;
  for (int i = 0; i < computing; ++i) threads.emplace_back(&bench::compute);
  for (int i = 1; i < workers; ++i) threads.emplace_back([&context] { context.run(); });
  context.run();
}
