// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
//
// use_goroutine with Asio's own objects.
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "hamgam/asio.h"
#include "hamgam/atomic.h"
#include "hamgam/chan.h"
#include "hamgam/go.h"
#include "hamgam/spawn.h"
#include "hamgam/waitgroup.h"
#include "support/child.h"
#include "support/io_loop.h"
#include "support/scale.h"

namespace hamgam {
namespace {

using asio::use_goroutine;
using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace): literals
using test::error_code;
using test::IoLoop;
using test::system_error;
namespace io = test::io;
using io::ip::tcp;

constexpr auto kLong = 1h;

tcp::endpoint any_port() { return {io::ip::address_v4::loopback(), 0}; }

// Runs the test in a goroutine and on a plain thread.
template <class F>
void in_both(F f) {
  f();
  run(f);
}

template <class F>
error_code code_of(F f) {
  try {
    f();
  } catch (const system_error& e) {
    return e.code();
  }
  return {};
}

struct Connected {
  explicit Connected(io::io_context& context)
      : client(io::make_strand(context)), server(io::make_strand(context)) {
    tcp::acceptor acceptor(context, any_port());
    client.connect(acceptor.local_endpoint());
    acceptor.accept(server);
  }
  tcp::socket client;
  tcp::socket server;
};

TEST(Asio, Timer) {
  IoLoop loop;
  in_both([&] {
    auto const start = std::chrono::steady_clock::now();
    io::steady_timer timer(loop.context, 20ms);
    timer.async_wait(use_goroutine);
    EXPECT_GE(std::chrono::steady_clock::now() - start, 20ms);
    error_code ec = io::error::eof;
    timer.expires_after(1ms);
    timer.async_wait(use_goroutine(ec));
    EXPECT_FALSE(ec);
  });
}

TEST(Asio, ManyGoroutinesOverOneIoContext) {
  IoLoop loop;
  run([&] {
    int const count = test::scaled_spawns(20'000);
    Atomic<int> woken{0};
    WaitGroup group;
    for (int i = 0; i < count; ++i) {
      group.go([&, i] {
        io::steady_timer timer(loop.context, std::chrono::microseconds(i % 50));
        timer.async_wait(use_goroutine);
        io::post(loop.context, use_goroutine);
        woken.add(1);
      });
    }
    group.wait();
    EXPECT_EQ(woken.load(), count);
  });
}

void answer(tcp::socket socket) {
  std::array<char, 100> bytes{};
  for (;;) {
    error_code ec;
    std::size_t const n = socket.async_read_some(io::buffer(bytes), use_goroutine(ec));
    if (ec) {
      EXPECT_EQ(ec, io::error::eof);
      return;
    }
    EXPECT_EQ(io::async_write(socket, io::buffer(bytes, n), use_goroutine), n);
  }
}

void echo(IoLoop& loop, int clients, int words) {
  tcp::acceptor acceptor(io::make_strand(loop.context), any_port());
  std::stop_source stop;
  WaitGroup conversations;
  auto server = spawn([&] {
    for (;;) {
      error_code ec;
      tcp::socket peer(io::make_strand(loop.context));
      acceptor.async_accept(peer, use_goroutine(ec, stop.get_token(), acceptor));
      if (ec) {
        EXPECT_EQ(ec, io::error::operation_aborted);
        return;
      }
      conversations.go([peer = std::move(peer)]() mutable { answer(std::move(peer)); });
    }
  });
  Atomic<int> right{0};
  WaitGroup group;
  for (int i = 0; i < clients; ++i) {
    group.go([&, i] {
      tcp::socket socket(io::make_strand(loop.context));
      socket.async_connect(acceptor.local_endpoint(), use_goroutine);
      std::string const word = "word " + std::to_string(i);
      for (int k = 0; k < words; ++k) {
        io::async_write(socket, io::buffer(word), use_goroutine);
        std::string back(word.size(), ' ');
        io::async_read(socket, io::buffer(back), use_goroutine);
        right.add(back == word ? 1 : 0);
      }
    });
  }
  group.wait();
  conversations.wait();
  stop.request_stop();
  server.get();
  EXPECT_EQ(right.load(), clients * words);
}

TEST(Asio, EchoWithOneThread) {
  IoLoop loop;
  run([&] { echo(loop, 20, test::scaled(200)); });
}

TEST(Asio, EchoWithThreads) {
  IoLoop loop(3);
  run([&] { echo(loop, 20, test::scaled(200)); });
}

TEST(Asio, AnIoContextThatGoroutinesRun) {
  run([] {
    IoLoop loop(0);
    auto work = std::make_optional(io::make_work_guard(loop.context));
    WaitGroup runners;
    for (int i = 0; i < 2; ++i) {
      runners.go([&] { blocking([&] { loop.context.run(); }); });
    }
    echo(loop, 4, 10);
    work.reset();
    loop.context.stop();
    runners.wait();
  });
}

TEST(Asio, Resolver) {
  IoLoop loop;
  in_both([&] {
    tcp::resolver resolver(loop.context);
    auto const found = resolver.async_resolve("127.0.0.1", "80", use_goroutine);
    ASSERT_FALSE(found.empty());
    EXPECT_EQ(found.begin()->endpoint().port(), 80);
    tcp::acceptor acceptor(loop.context, any_port());
    tcp::socket socket(loop.context);
    auto const local = resolver.async_resolve(
        "127.0.0.1", std::to_string(acceptor.local_endpoint().port()), use_goroutine);
    EXPECT_EQ(io::async_connect(socket, local, use_goroutine), acceptor.local_endpoint());
    EXPECT_TRUE(
        code_of([&] { resolver.async_resolve("no such host.invalid", "80", use_goroutine); }));
  });
}

TEST(Asio, Refused) {
  IoLoop loop;
  in_both([&] {
    tcp::socket silent(loop.context, any_port());  // it has the port, and does not listen
    auto const address = silent.local_endpoint();
    tcp::socket socket(loop.context);
    EXPECT_EQ(code_of([&] { socket.async_connect(address, use_goroutine); }),
              io::error::connection_refused);
  });
}

TEST(Asio, AcceptReturnsTheSocket) {
  IoLoop loop;
  in_both([&] {
    tcp::acceptor acceptor(loop.context, any_port());
    tcp::socket client(loop.context);
    client.connect(acceptor.local_endpoint());
    tcp::socket const server = acceptor.async_accept(use_goroutine);
    EXPECT_EQ(server.remote_endpoint(), client.local_endpoint());
  });
}

// The bytes that came before the error are told.
TEST(Asio, TheEndTellsHowMuchCame) {
  IoLoop loop;
  in_both([&] {
    Connected two(loop.context);
    io::write(two.server, io::buffer("abc", 3));
    two.server.close();
    std::array<char, 10> bytes{};
    error_code ec;
    EXPECT_EQ(io::async_read(two.client, io::buffer(bytes), use_goroutine(ec)), 3U);
    EXPECT_EQ(ec, io::error::eof);
  });
}

TEST(Asio, GivenUpByAStopToken) {
  IoLoop loop;
  in_both([&] {
    Connected two(loop.context);
    std::array<char, 10> bytes{};
    for (bool const before : {true, false}) {
      std::stop_source stop;
      std::thread other([&] {
        if (!before) {
          stop.request_stop();
        }
      });
      if (before) {
        stop.request_stop();
      }
      EXPECT_EQ(code_of([&] {
                  two.client.async_read_some(io::buffer(bytes),
                                             use_goroutine(stop.get_token(), two.client));
                }),
                io::error::operation_aborted);
      error_code ec;
      EXPECT_EQ(two.client.async_read_some(io::buffer(bytes),
                                           use_goroutine(ec, stop.get_token(), two.client)),
                0U);
      EXPECT_EQ(ec, io::error::operation_aborted);
      other.join();
    }
    // It can be used as before.
    io::write(two.server, io::buffer("abc", 3));
    std::stop_source never;
    EXPECT_EQ(
        two.client.async_read_some(io::buffer(bytes), use_goroutine(never.get_token(), two.client)),
        3U);
  });
}

TEST(Asio, GivenUpAtATime) {
  IoLoop loop;
  in_both([&] {
    Connected two(loop.context);
    std::array<char, 10> bytes{};
    auto const start = std::chrono::steady_clock::now();
    EXPECT_EQ(code_of([&] {
                two.client.async_read_some(io::buffer(bytes), use_goroutine(20ms, two.client));
              }),
              io::error::timed_out);
    EXPECT_GE(std::chrono::steady_clock::now() - start, 20ms);
    error_code ec;
    two.client.async_read_some(io::buffer(bytes),
                               use_goroutine(ec, std::chrono::steady_clock::now(), two.client));
    EXPECT_EQ(ec, io::error::timed_out);
    io::write(two.server, io::buffer("abc", 3));
    EXPECT_EQ(two.client.async_read_some(io::buffer(bytes), use_goroutine(kLong, two.client)), 3U);
  });
}

#if HAMGAM_ASIO_SLOTS
TEST(Asio, GivenUpByTheSlot) {
  IoLoop loop;
  in_both([&] {
    Connected two(loop.context);
    std::array<char, 10> bytes{};
    EXPECT_EQ(code_of([&] { two.client.async_read_some(io::buffer(bytes), use_goroutine(5ms)); }),
              io::error::timed_out);
    std::stop_source stop;
    std::thread other([&] { stop.request_stop(); });
    error_code ec;
    EXPECT_EQ(io::async_read(two.client, io::buffer(bytes), use_goroutine(ec, stop.get_token())),
              0U);
    EXPECT_EQ(ec, io::error::operation_aborted);
    other.join();
    io::write(two.server, io::buffer("abc", 3));
    EXPECT_EQ(two.client.async_read_some(io::buffer(bytes), use_goroutine(kLong)), 3U);
    io::steady_timer timer(loop.context, kLong);
    EXPECT_EQ(code_of([&] { timer.async_wait(use_goroutine(1ms)); }), io::error::timed_out);
  });
}
#endif

// Ends and limits at the same moment: each operation ends once, and what it gives is what it says.
TEST(Asio, StressGivingUp) {
  IoLoop loop(2);
  run([&] {
    int const rounds = test::scaled(500);
    WaitGroup group;
    for (int i = 0; i < 8; ++i) {
      group.go([&, i] {
        Connected two(loop.context);
        std::array<char, 1> byte{};
        for (int round = 0; round < rounds; ++round) {
          auto writer = spawn([&] { io::async_write(two.server, io::buffer("x"), use_goroutine); });
          error_code ec;
          std::size_t got = 0;
          for (int more = 0; got < 2; more += 10) {
            got += two.client.async_read_some(
                io::buffer(byte),
                use_goroutine(ec, std::chrono::microseconds((round + i) % 40 + more), two.client));
            EXPECT_TRUE(!ec || ec == io::error::timed_out) << ec.message();
          }
          writer.get();
        }
      });
    }
    group.wait();
  });
}

// One goroutine reads while another writes, and both begin at any moment.
TEST(Asio, OnAStrand) {
  IoLoop loop(2);
  in_both([&] {
    int const rounds = test::scaled(300);
    Connected two(loop.context);
    auto echo = spawn([&] {
      auto const on_strand = use_goroutine.on(two.server.get_executor());
      for (int i = 0; i < rounds; ++i) {
        char byte = 0;
        io::async_read(two.server, io::buffer(&byte, 1), on_strand);
        io::async_write(two.server, io::buffer(&byte, 1), on_strand);
      }
    });
    auto const on_strand = use_goroutine.on(two.client.get_executor());
    auto writer = spawn([&] {
      for (int i = 0; i < rounds; ++i) {
        io::async_write(two.client, io::buffer("x", 1), on_strand);
      }
    });
    for (int i = 0; i < rounds; ++i) {
      char byte = 0;
      io::async_read(two.client, io::buffer(&byte, 1), on_strand);
      EXPECT_EQ(byte, 'x');
    }
    writer.get();
    echo.get();
    char byte = 0;
    error_code ec;
    io::async_read(two.client, io::buffer(&byte, 1), on_strand(ec, 1ms, two.client));
    EXPECT_EQ(ec, io::error::timed_out);
  });
}

TEST(Asio, AsDefault) {
  IoLoop loop;
  in_both([&] {
    auto timer = use_goroutine.as_default_on(io::steady_timer(loop.context, 1ms));
    timer.async_wait();
    using Socket = asio::UseGoroutine<>::as_default_on_t<tcp::socket>;
    tcp::acceptor acceptor(loop.context, any_port());
    Socket socket(loop.context);
    socket.async_connect(acceptor.local_endpoint());
    tcp::socket peer = acceptor.accept();
    io::write(peer, io::buffer("abc", 3));
    std::array<char, 10> bytes{};
    EXPECT_EQ(socket.async_read_some(io::buffer(bytes)), 3U);
  });
}

// One that waits when its io_context is destroyed: it is told.
TEST(Asio, AnIoContextThatIsDestroyed) {
  in_both([] {
    auto context = std::make_optional<io::io_context>();
    auto const executor = context->get_executor();
    WaitGroup posted;
    posted.add(1);
    auto told = spawn([&] {
      io::async_initiate<const decltype(use_goroutine)&, void(error_code)>(
          [&](auto handler) {
            io::post(executor, [h = std::move(handler)]() mutable { h(error_code()); });
            posted.done();
          },
          use_goroutine);
    });
    posted.wait();
    context.reset();
    EXPECT_EQ(code_of([&] { told.get(); }), asio::Errc::abandoned);
  });
}

// A goroutine that waits for Asio is not asleep for good as long as somebody runs the io_context.
TEST(Asio, NoDeadlockWhileItIsRun) {
  auto const child = test::in_child([] {
    IoLoop loop;
    run([&] {
      io::steady_timer timer(loop.context, 300ms);
      timer.async_wait(use_goroutine);
    });
    run([&] {
      io::io_context other;
      auto work = std::make_optional(io::make_work_guard(other));
      WaitGroup runner;
      runner.go([&] { blocking([&] { other.run(); }); });
      io::steady_timer(other, 300ms).async_wait(use_goroutine);
      work.reset();
      runner.wait();
    });
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
}

TEST(Asio, NobodyRunsTheIoContext) {
  if (test::emulated()) {
    return;  // an emulator has threads of its own: nothing is taken for a deadlock
  }
  auto const child = test::in_child([] {
    run([] {
      io::io_context context;
      io::steady_timer timer(context, 1ms);
      timer.async_wait(use_goroutine);
    });
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins("fatal error: all goroutines are asleep - deadlock!\n")) << child.error;
  EXPECT_TRUE(child.says("IO wait")) << child.error;
}

}  // namespace
}  // namespace hamgam
