// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Our server for the network benchmarks: a goroutine for each connection.
//
//   net_server KIND [COMPUTING]
//
// KIND: echo, http or redis; COMPUTING goroutines count meanwhile. Prints its port, and is killed.
#include <hamgam/hamgam.h>
#include <hamgam/net.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include "harness/computing.h"
#include "harness/http_answers.h"
#include "harness/redis_answers.h"

namespace {

namespace net = hamgam::net;

void echo(const net::TcpConn& conn) {
  std::array<std::byte, 1024> buffer;  // NOLINT: filled by reads
  std::error_code error;
  while (const std::size_t size = conn.read_some(buffer, error)) {
    conn.write_all(std::span(buffer).first(size), error);
  }
}

template <class Answers>
void answer(const net::TcpConn& conn) {
  const auto answers = std::make_unique<Answers>();
  std::error_code error;
  bool more = true;
  while (more) {
    const std::size_t size = conn.read_some(std::as_writable_bytes(answers->room()), error);
    if (size == 0) break;
    more = answers->take(size);
    conn.write_all(std::as_bytes(std::span(answers->out())), error);
    answers->out().clear();
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view kind = argc > 1 ? argv[1] : "echo";
  const int computing = argc > 2 ? std::atoi(argv[2]) : 0;
  const auto serve = kind == "http"    ? &answer<bench::HttpAnswers>
                     : kind == "redis" ? &answer<bench::RedisAnswers>
                                       : &echo;
  hamgam::run([&] {
    const auto listener = net::TcpListener::bind("127.0.0.1:0");
    std::printf("%u\n", listener.address().port());
    std::fflush(stdout);
    for (int i = 0; i < computing; ++i) hamgam::go(&bench::compute);
    for (;;) {
      hamgam::go([serve, conn = listener.accept()] { serve(conn); });
    }
  });
}
