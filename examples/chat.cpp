// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// A chat server: what one says all others in the room get, in the same order. A reader and a writer
// goroutine for each connection, and between them a channel that holds some lines. Who does not
// take his lines keeps the others waiting for a moment, once, and is put out. Beside it three
// guests, one of whom never reads.
//
//   chat               the server and its guests
//   chat HOST:PORT     the server alone, until Ctrl-C; try it with nc or telnet
#include <hamgam/hamgam.h>
#include <hamgam/net.h>
#include <hamgam/signals.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace net = hamgam::net;
using namespace std::chrono_literals;

constexpr std::size_t kInbox = 64;  // lines
constexpr std::size_t kMostLine = 4096;
constexpr auto kPatience = 2s;

// ---- lines -----------------------------------------------------------------------------------

class LineReader {
 public:
  explicit LineReader(net::TcpConn conn) : conn_(std::move(conn)) {}

  // Nothing: the stream has ended, or the line is too long.
  std::optional<std::string> next() {
    std::size_t end = 0;
    while ((end = text_.find('\n')) == std::string::npos) {
      std::array<char, 1024> buffer{};
      std::error_code error;
      std::size_t const got = conn_.read_some(std::as_writable_bytes(std::span(buffer)), error);
      if (error || got == 0 || text_.size() > kMostLine) {
        return std::nullopt;
      }
      text_.append(buffer.data(), got);
    }
    std::string line = text_.substr(0, end);
    text_.erase(0, end + 1);
    return line;
  }

 private:
  net::TcpConn conn_;
  std::string text_;
};

bool write_line(const net::TcpConn& conn, std::string line) {
  std::error_code error;
  line += '\n';
  conn.write_all(std::as_bytes(std::span(line)), error);
  return !error;
}

// ---- the room --------------------------------------------------------------------------------

struct Guest {
  net::TcpConn conn;
  hamgam::Chan<std::string> inbox = hamgam::make_chan<std::string>(kInbox);
  hamgam::Chan<hamgam::Unit> gone = hamgam::make_chan<hamgam::Unit>();  // closed when he is out
};

class Room {
 public:
  // Nothing: the name is taken.
  std::optional<Guest> enter(const std::string& name, const net::TcpConn& conn) {
    Guest const guest{conn};
    return guests_.lock()->emplace(name, guest).second ? std::optional(guest) : std::nullopt;
  }

  void leave(const std::string& name, const Guest& guest) {
    auto guests = guests_.lock();
    auto const found = guests->find(name);
    if (found != guests->end() && found->second.conn == guest.conn) {
      found->second.gone.close();
      found->second.conn.close();  // his reader and his writer notice
      guests->erase(found);
    }
  }

  // One after another, so that all get the same order.
  void say(const std::string& line) {
    hamgam::LockGuard const turn(saying_);
    auto const guests = *guests_.lock();  // a copy: others come and go meanwhile
    for (const auto& [name, guest] : guests) {
      if (!guest.inbox.try_send(line) && !guest.inbox.send_for(line, kPatience)) {
        leave(name, guest);
      }
    }
  }

 private:
  hamgam::Mutex saying_;
  hamgam::Guarded<std::map<std::string, Guest>> guests_;
};

// Hands him his lines until he is out or cannot be reached.
void write_to(const Guest& guest) {
  bool out = false;
  while (!out) {
    hamgam::select(hamgam::on_recv(guest.gone, [&] { out = true; }),
                   hamgam::on_recv(guest.inbox, [&](const std::optional<std::string>& line) {
                     out = !write_line(guest.conn, *line);
                   }));
  }
  guest.conn.close();
}

void welcome(Room& room, const net::TcpConn& conn) {
  LineReader lines(conn);
  auto const name = lines.next();  // the first line
  auto const guest = name ? room.enter(*name, conn) : std::nullopt;
  if (!guest) {
    (void)write_line(conn, "somebody is called so already");
    return;
  }
  hamgam::WaitGroup writer;
  writer.go([&] { write_to(*guest); });
  room.say(*name + " has come");
  while (auto const line = lines.next()) {
    room.say(*name + ": " + *line);
  }
  room.leave(*name, *guest);
  room.say(*name + " has gone");
  writer.wait();
}

// Until the context is cancelled.
void serve(const net::TcpListener& listener, const hamgam::Context& ctx) {
  auto const stop = hamgam::after_func(ctx, [listener] { listener.close(); });
  Room room;
  hamgam::WaitGroup guests;
  try {
    for (;;) {
      guests.go([&room, &ctx, conn = listener.accept()] {
        auto const hang_up = hamgam::after_func(ctx, [conn] { conn.close(); });
        welcome(room, conn);
        (void)hang_up.stop();
      });
    }
  } catch (const net::Error& e) {
    if (e.code() != net::Errc::closed) {
      std::fprintf(stderr, "%s\n", e.what());
    }
  }
  guests.wait();
}

// ---- guests ----------------------------------------------------------------------------------

constexpr int kLines = 20'000;  // more than the sockets' buffers hold

net::TcpConn enter(const std::string& address, const std::string& name) {
  auto conn = net::TcpConn::dial(address);
  (void)write_line(conn, name);
  return conn;
}

// Until he has heard that line; how many before.
int listen_until(LineReader& lines, std::string_view last) {
  int count = 0;
  while (auto const line = lines.next()) {
    if (*line == last) {
      return count;
    }
    ++count;
  }
  return -1;
}

int demonstrate() {
  auto [ctx, cancel] = hamgam::with_cancel(hamgam::Context::background());
  auto const listener = net::TcpListener::bind("127.0.0.1:0");
  std::string const address = listener.address().to_string();
  hamgam::WaitGroup server;
  server.go([&listener, ctx = ctx] { serve(listener, ctx); });

  auto const alice = enter(address, "alice");
  LineReader to_alice(alice);
  (void)listen_until(to_alice, "alice has come");
  auto const sleepy = enter(address, "sleepy");  // and never reads
  (void)listen_until(to_alice, "sleepy has come");
  auto const bob = enter(address, "bob");
  LineReader to_bob(bob);
  (void)listen_until(to_bob, "bob has come");
  (void)listen_until(to_alice, "bob has come");

  hamgam::WaitGroup talk;
  talk.go([&bob] {
    for (int i = 0; i < kLines && write_line(bob, std::string(1000, '.')); ++i) {
    }
    (void)write_line(bob, "good night");
  });
  talk.go([&to_bob] { (void)listen_until(to_bob, "bob: good night"); });
  int const heard = listen_until(to_alice, "bob: good night");
  talk.wait();
  std::printf("alice heard %s\n", heard == kLines + 1 ? "all of it, and sleepy go" : "less");

  cancel();
  server.wait();
  return 0;
}

int serve_until_signal(const std::string& where) {
  auto const [ctx, cancel] = hamgam::with_signals(hamgam::Context::background(), {SIGINT, SIGTERM});
  hamgam::CancelGuard const guard(cancel);
  serve(net::TcpListener::bind(where), ctx);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return hamgam::run([&] { return argc > 1 ? serve_until_signal(argv[1]) : demonstrate(); });
}
