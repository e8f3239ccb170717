// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
//
// What Go's own tests of net ask for, over each kind of stream, and then of each kind alone.
#include "hamgam/net.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "hamgam/go.h"
#include "hamgam/mutex.h"
#include "hamgam/time.h"
#include "hamgam/waitgroup.h"
#include "support/streams.h"

namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace): literals
using hamgam::Clock;
using hamgam::run;
using hamgam::TimePoint;
using hamgam::WaitGroup;
using hamgam::test::bytes_of;
using hamgam::test::net_error_of;
namespace net = hamgam::net;

const TimePoint kPast = TimePoint(1ns);
const TimePoint kNone = TimePoint::max();

template <class Kind>
class Stream : public testing::Test {
 protected:
  using Conn = typename Kind::Conn;

  void SetUp() override { std::tie(a, b) = Kind::make(); }

  // What a read that is under way ends with.
  template <class Act>
  std::error_code read_during(Act act) {
    std::error_code error;
    run([&] {
      WaitGroup group;
      group.go([&] {
        std::array<std::byte, 8> buffer{};
        (void)a.read_some(buffer, error);
      });
      hamgam::sleep(2ms);  // most often it waits by then
      act();
      group.wait();
    });
    return error;
  }

  Conn a;
  Conn b;
};

TYPED_TEST_SUITE(Stream, hamgam::test::Streams);

TYPED_TEST(Stream, BasicIO) {
  run([&] {
    std::string sent(1 << 20, 'x');
    for (std::size_t i = 0; i < sent.size(); ++i) {
      sent[i] = static_cast<char>(i * 7 + i / 256);
    }
    std::string got(sent.size(), '\0');
    WaitGroup group;
    group.go([&] {
      this->b.write_all(bytes_of(sent));
      this->b.close();
    });
    EXPECT_EQ(this->a.read_exact(std::as_writable_bytes(std::span(got))), sent.size());
    std::array<std::byte, 4> more{};
    EXPECT_EQ(this->a.read_some(more), 0U);  // N29: again and again
    EXPECT_EQ(this->a.read_some(more), 0U);
    group.wait();
    EXPECT_EQ(got, sent);
  });
}

TYPED_TEST(Stream, PingPong) {
  run([&] {
    WaitGroup group;
    constexpr int kRounds = 1000;
    group.go([&] {
      std::array<std::byte, 4> buffer{};
      while (this->b.read_exact(buffer) == buffer.size()) {
        this->b.write_all(buffer);
      }
    });
    for (int i = 0; i < kRounds; ++i) {
      std::array<std::byte, 4> buffer{};
      std::memcpy(buffer.data(), &i, sizeof i);
      this->a.write_all(buffer);
      EXPECT_EQ(this->a.read_exact(buffer), buffer.size());
      int back = -1;
      std::memcpy(&back, buffer.data(), sizeof back);
      EXPECT_EQ(back, i);
    }
    this->a.close();
    group.wait();
  });
}

TYPED_TEST(Stream, RacyRead) {
  run([&] {
    constexpr std::size_t kBytes = 20000;
    WaitGroup group;
    std::atomic<std::size_t> sum{0};
    for (int i = 0; i < 4; ++i) {
      group.go([&] {
        std::array<std::byte, 7> buffer{};
        while (std::size_t const n = this->a.read_some(buffer)) {
          sum += n;
        }
      });
    }
    this->b.write_all(bytes_of(std::string(kBytes, 'y')));
    this->b.close();
    group.wait();
    EXPECT_EQ(sum, kBytes);  // N37
  });
}

TYPED_TEST(Stream, RacyWriteKeepsEachTogether) {
  run([&] {
    constexpr std::size_t kEach = 100000;
    WaitGroup group;
    for (char c : {'a', 'b', 'c', 'd'}) {
      group.go([this, c] { this->a.write_all(bytes_of(std::string(kEach, c))); });
    }
    std::string got(4 * kEach, '\0');
    EXPECT_EQ(this->b.read_exact(std::as_writable_bytes(std::span(got))), got.size());
    group.wait();
    for (std::size_t i = 0; i < 4; ++i) {  // N36
      EXPECT_EQ(got.find_first_not_of(got[i * kEach], i * kEach),
                i == 3 ? got.npos : (i + 1) * kEach);
    }
  });
}

TYPED_TEST(Stream, PastTimeoutFailsThoughDataIsThere) {
  run([&] {
    std::array<std::byte, 4> buffer{};
    this->b.write_all(bytes_of("data"));
    this->a.wait_readable();
    this->a.set_deadline(kPast);  // N1
    EXPECT_EQ(net_error_of([&] { this->a.read_some(buffer); }), net::Errc::deadline);
    EXPECT_EQ(net_error_of([&] { this->a.write_some(buffer); }), std::errc::timed_out);  // N15
    this->a.set_deadline(kNone);                                                         // N3, N4
    EXPECT_EQ(this->a.read_exact(buffer), 4U);
    EXPECT_EQ(std::memcmp(buffer.data(), "data", 4), 0);
  });
}

TYPED_TEST(Stream, PresentTimeoutWakesWhoWaits) {  // N2
  EXPECT_EQ(this->read_during([&] { this->a.set_read_deadline(kPast); }), net::Errc::deadline);
}

TYPED_TEST(Stream, FutureTimeoutIsNeverEarly) {
  run([&] {
    auto const end = Clock::now() + 10ms;
    this->a.set_read_deadline(end);
    std::array<std::byte, 4> buffer{};
    EXPECT_EQ(net_error_of([&] { this->a.read_some(buffer); }), net::Errc::deadline);
    EXPECT_GE(Clock::now(), end);       // N8
    this->a.write_all(bytes_of("ok"));  // N7
    EXPECT_EQ(this->b.read_some(buffer), 2U);
  });
}

TYPED_TEST(Stream, ReadTimeoutLeavesWritesAlone) {
  run([&] {
    this->a.set_read_deadline(kPast);
    this->a.write_all(bytes_of("x"));
    this->a.set_read_deadline(kNone);
    this->a.set_write_deadline(kPast);
    EXPECT_EQ(net_error_of([&] { this->a.write_all(bytes_of("x")); }), net::Errc::deadline);
    this->b.write_all(bytes_of("y"));
    std::array<std::byte, 4> buffer{};
    EXPECT_EQ(this->a.read_some(buffer), 1U);
  });
}

TYPED_TEST(Stream, WriteTimeoutTellsTheBytesTaken) {
  run([&] {
    std::string const much(64 << 20, 'z');
    this->a.set_write_deadline(Clock::now() + 300ms);
    std::error_code error;
    std::size_t const taken = this->a.write_all(bytes_of(much), error);
    EXPECT_EQ(error, net::Errc::deadline);  // N13
    EXPECT_GT(taken, 0U);
    EXPECT_LT(taken, much.size());
    this->a.close();
    std::vector<std::byte> buffer(1 << 16);
    std::size_t got = 0;
    while (std::size_t const n = this->b.read_some(buffer)) {
      got += n;
    }
    EXPECT_EQ(got, taken);
  });
}

TYPED_TEST(Stream, DeadlineMovedWhileWaiting) {
  this->a.set_read_deadline(Clock::now() + 1h);
  EXPECT_EQ(this->read_during([&] { this->a.set_read_deadline(Clock::now() + 1ms); }),
            net::Errc::deadline);  // N6
  std::atomic<bool> in_time{false};
  while (!in_time) {  // on a loaded machine the first one may pass before
    auto const first = Clock::now() + 20ms;
    auto const later = first + 20ms;
    this->a.set_read_deadline(first);
    EXPECT_EQ(this->read_during([&] {
      this->a.set_read_deadline(later);
      in_time = Clock::now() < first;
    }),
              net::Errc::deadline);
    EXPECT_TRUE(!in_time || Clock::now() >= later);  // N5
  }
}

TYPED_TEST(Stream, CloseUnblocksEverybody) {
  run([&] {
    WaitGroup group;
    std::atomic<int> closed{0};
    for (int i = 0; i < 3; ++i) {
      group.go([&] {
        std::array<std::byte, 4> buffer{};
        closed += net_error_of([&] { this->a.read_some(buffer); }) == net::Errc::closed;
      });
      group.go([&] {
        std::string const much(64 << 20, 'z');
        closed += net_error_of([&] { this->a.write_all(bytes_of(much)); }) == net::Errc::closed;
      });
    }
    hamgam::sleep(5ms);
    this->a.close();
    group.wait();
    EXPECT_EQ(closed, 6);  // N19
    this->a.close();       // N21
    std::array<std::byte, 4> buffer{};
    EXPECT_EQ(net_error_of([&] { this->a.read_some(buffer); }), std::errc::operation_canceled);
    EXPECT_EQ(net_error_of([&] { this->a.set_deadline(kNone); }), net::Errc::closed);  // N12
    EXPECT_EQ(this->a.fd(), -1);
    EXPECT_EQ(net_error_of([&] { this->a.read_some({}); }), net::Errc::closed);
    EXPECT_EQ(net_error_of([&] { this->a.write_all({}); }), net::Errc::closed);
  });
}

TYPED_TEST(Stream, ConcurrentMethods) {  // N26, B23
  run([&] {
    WaitGroup group;
    for (int i = 0; i < 20; ++i) {
      group.go([&] {
        std::array<std::byte, 16> buffer{};
        std::error_code e;
        this->a.set_deadline(Clock::now() + 1ms);
        (void)this->a.read_some(buffer, e);
        (void)this->a.write_some(buffer, e);
        this->a.set_read_deadline(kNone);
        this->a.set_read_deadline(Clock::now() + 1us);
        (void)this->a.local_address();
        (void)this->a.remote_address();
      });
    }
    group.wait();
  });
}

TYPED_TEST(Stream, LimitsOfOneCallLeaveTheNextAlone) {
  run([&] {
    std::array<std::byte, 4> buffer{};
    for (int i = 0; i < 50; ++i) {
      EXPECT_FALSE(this->a.read_some_for(buffer, 100us).has_value());
    }
    std::stop_source source;
    WaitGroup group;
    group.go([&] { EXPECT_FALSE(this->a.read_some(buffer, source.get_token()).has_value()); });
    hamgam::sleep(1ms);
    source.request_stop();
    group.wait();
    group.go([&] { EXPECT_EQ(this->a.read_some(buffer), 1U); });
    hamgam::sleep(2ms);
    this->b.write_all(bytes_of("x"));
    group.wait();
    this->b.write_all(bytes_of("y"));
    this->a.wait_readable();
    // A stop that was requested ends only what would wait.
    EXPECT_EQ(this->a.read_some(buffer, source.get_token()), 1U);
  });
}

TYPED_TEST(Stream, SettersOfDeadlinesAgainstReaders) {  // N11, B8
  run([&] {
    WaitGroup group;
    for (int i = 0; i < 2; ++i) {
      group.go([&] {
        std::array<std::byte, 4> buffer{};
        std::error_code e;
        for (int round = 0; round < 300; ++round) {
          (void)this->a.read_some(buffer, e);
        }
      });
    }
    std::atomic<bool> done{false};
    WaitGroup setters;
    for (int i = 0; i < 4; ++i) {
      setters.go([&, i] {
        for (unsigned k = 0; !done; ++k) {
          switch ((k + static_cast<unsigned>(i)) % 4) {
            case 0:
              this->a.set_read_deadline(kPast);
              break;
            case 1:
              this->a.set_read_deadline(Clock::now() + 1us);
              break;
            case 2:
              this->a.set_read_deadline(Clock::now() + 1h);
              break;
            default:
              this->a.set_read_deadline(kNone);
          }
          hamgam::yield();
        }
      });
    }
    hamgam::sleep(20ms);
    done = true;
    setters.wait();
    this->a.set_read_deadline(kPast);
    group.wait();
  });
}

TYPED_TEST(Stream, PlainThreads) {
  std::thread reader([&] {
    std::array<std::byte, 4> buffer{};
    EXPECT_EQ(this->a.read_exact(buffer), 4U);
    EXPECT_FALSE(this->a.read_some_for(buffer, 2ms).has_value());
    this->a.write_all(buffer);
  });
  std::this_thread::sleep_for(2ms);
  this->b.write_all(bytes_of("ping"));
  std::array<std::byte, 4> buffer{};
  EXPECT_EQ(this->b.read_exact(buffer), 4U);
  reader.join();
}

TYPED_TEST(Stream, IdleAndPeerGone) {
  run([&] {
    EXPECT_TRUE(this->a.idle());
    std::array<std::byte, 4> buffer{};
    EXPECT_EQ(this->a.read_some(std::span(buffer).first(0)), 0U);  // N29
    this->b.write_all(bytes_of("x"));
    this->a.wait_readable();
    EXPECT_FALSE(this->a.idle());
    EXPECT_EQ(this->a.read_some(buffer), 1U);
    EXPECT_TRUE(this->a.idle());
    this->b.shutdown_write();  // N33
    EXPECT_EQ(this->a.read_some(buffer), 0U);
    EXPECT_FALSE(this->a.idle());
    this->a.write_all(bytes_of("y"));
    EXPECT_EQ(this->b.read_some(buffer), 1U);
    this->b.close();
    std::error_code error;
    for (int i = 0; i < 100 && !error; ++i) {
      (void)this->a.write_all(bytes_of(std::string(1000, 'w')), error);
      hamgam::sleep(100us);
    }
    EXPECT_TRUE(error == std::errc::broken_pipe || error == std::errc::connection_reset);  // N34
  });
}

// B3, B20: a record that was given back is used again; events for its former number must not
// matter.
TYPED_TEST(Stream, RecordsAreUsedAgain) {
  run([&] {
    for (int i = 0; i < 200; ++i) {
      auto [x, y] = TypeParam::make();
      std::array<std::byte, 1> buffer{};
      WaitGroup group;
      group.go([&, x = x] { EXPECT_EQ(x.read_some(buffer), 1U); });
      hamgam::yield();
      y.write_all(bytes_of("q"));
      group.wait();
      int const copy = dup(x.fd());  // the copy keeps the file open
      x.close();
      std::error_code ignored;
      (void)y.write_all(bytes_of("late"), ignored);
      ::close(copy);
    }
  });
}

// It may be in a system call at the moment of the close, which then is over soon.
net::TcpListener bind_soon(const std::string& name) {
  for (int i = 0; i < 1000; ++i) {
    try {
      return net::TcpListener::bind(name);
    } catch (const net::Error& e) {
      EXPECT_EQ(e.code(), std::errc::address_in_use);
    }
    hamgam::sleep(1ms);
  }
  return {};
}

TEST(TcpListener, CloseFreesThePortThoughSomebodyAccepts) {
  run([] {
    std::string name = "127.0.0.1:0";
    for (int i = 0; i < 10; ++i) {
      auto listener = bind_soon(name);
      name = listener.address().to_string();
      WaitGroup group;
      group.go([&] {
        EXPECT_EQ(net_error_of([&] { (void)listener.accept(); }), net::Errc::closed);  // N19
      });
      hamgam::sleep(1ms);
      listener.close();
      EXPECT_TRUE(bind_soon(name));  // N23
      group.wait();
      EXPECT_EQ(net_error_of([&] { (void)listener.accept(); }), net::Errc::closed);  // N24
    }
  });
}

TEST(Handle, MovedFromAndReleasedIsEmpty) {
  auto [a, b] = net::pipe();
  auto [c, d] = net::pipe();
  a = std::move(c);  // what it was is closed
  EXPECT_FALSE(c);   // NOLINT(bugprone-use-after-move)
  std::byte one{};
  EXPECT_EQ(b.read_some({&one, 1}), 0U);
  int const fd = a.release();
  EXPECT_GE(fd, 0);
  EXPECT_FALSE(a);
  EXPECT_EQ(::close(fd), 0);
  EXPECT_EQ(d.read_some({&one, 1}), 0U);
}

TEST(TcpListener, DeadlineLosesNoConnection) {
  run([] {
    auto listener = net::TcpListener::bind("127.0.0.1:0");
    auto conn = net::TcpConn::dial(listener.address().to_string());
    listener.set_deadline(kPast);
    EXPECT_EQ(net_error_of([&] { (void)listener.accept(); }), net::Errc::deadline);
    listener.set_deadline(kNone);
    EXPECT_TRUE(listener.accept());  // N18
  });
}

TEST(TcpListener, ManyAcceptAndMuchIsEchoed) {
  run([] {
    constexpr int kClients = 50;
    auto listener = net::TcpListener::bind(":0");
    std::string const name = "127.0.0.1:" + std::to_string(listener.address().port());
    WaitGroup servers;
    for (int i = 0; i < 5; ++i) {  // N45
      servers.go([&] {
        for (;;) {
          net::TcpConn conn;
          try {
            conn = listener.accept();
          } catch (const net::Error& e) {
            EXPECT_EQ(e.code(), net::Errc::closed);
            return;
          }
          servers.go([conn] {
            std::array<std::byte, 64> buffer{};
            while (std::size_t const n = conn.read_some(buffer)) {
              conn.write_all(std::span(buffer).first(n));
            }
          });
        }
      });
    }
    WaitGroup clients;
    for (int i = 0; i < kClients; ++i) {
      clients.go([&] {
        auto conn = net::TcpConn::dial(name);
        std::array<std::byte, 64> buffer{};
        for (int k = 0; k < 20; ++k) {
          conn.write_all(buffer);
          EXPECT_EQ(conn.read_exact(buffer), buffer.size());
        }
      });
    }
    clients.wait();
    listener.close();
    servers.wait();
  });
}

TEST(TcpConn, RefusedAndReset) {
  run([] {
    auto listener = net::TcpListener::bind("127.0.0.1:0");
    std::string const name = listener.address().to_string();
    auto conn = net::TcpConn::dial(name);
    auto peer = listener.accept();
    EXPECT_EQ(conn.remote_address(), peer.local_address());
    peer.set_linger(0s);
    peer.close();  // N25
    std::array<std::byte, 4> buffer{};
    try {
      conn.read_some(buffer);
      ADD_FAILURE();
    } catch (const net::Error& e) {
      EXPECT_EQ(e.code(), std::errc::connection_reset);
      EXPECT_EQ(e.transferred(), 0U);
      EXPECT_EQ(std::string(e.what()).rfind("read tcp ", 0), 0U);  // N35
    }
    listener.close();
    EXPECT_EQ(net_error_of([&] { (void)net::TcpConn::dial(name); }), std::errc::connection_refused);
    EXPECT_EQ(net_error_of([&] { (void)net::TcpConn().read_some(buffer); }), net::Errc::closed);
  });
}

TEST(Wait, ForeignDescriptorInBothDirections) {  // N67
  run([] {
    std::array<int, 2> ends{};
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends.data()), 0);
    EXPECT_FALSE(net::wait_readable_for(ends[0], 1ms));
    net::wait_writable(ends[0]);
    std::atomic<int> woken{0};
    WaitGroup group;
    for (int i = 0; i < 5; ++i) {
      group.go([&] {
        net::wait_readable(ends[0]);
        ++woken;
      });
      group.go([&] { net::wait_writable(ends[0]); });
    }
    hamgam::sleep(2ms);
    EXPECT_EQ(woken, 0);
    EXPECT_EQ(write(ends[1], "x", 1), 1);
    group.wait();
    net::wait_readable(ends[0]);  // level: it is still there
    std::stop_source source;
    source.request_stop();
    EXPECT_TRUE(net::wait_readable(ends[0], source.get_token()));
    ::close(ends[0]);
    ::close(ends[1]);
    EXPECT_EQ(net_error_of([&] { net::wait_readable(ends[0]); }), std::errc::bad_file_descriptor);
  });
}

TEST(Poller, IsLookedAtWhileWorkersCompute) {  // B9
  run([] {
    auto [a, b] = net::pipe();
    std::atomic<bool> done{false};
    WaitGroup busy;
    for (int i = 0; i < 2 * static_cast<int>(std::thread::hardware_concurrency()); ++i) {
      busy.go([&] {
        while (!done) {
          hamgam::yield();
        }
      });
    }
    std::thread echo([b = b] {
      std::array<std::byte, 1> buffer{};
      while (b.read_some(buffer) == 1) {
        b.write_all(buffer);
      }
    });
    std::array<std::byte, 1> buffer{};
    for (int i = 0; i < 100; ++i) {
      a.write_all(buffer);
      EXPECT_EQ(a.read_some(buffer), 1U);
    }
    a.close();
    done = true;
    busy.wait();
    hamgam::blocking([&] { echo.join(); });
  });
}

TEST(Address, Forms) {
  for (const char* text : {"127.0.0.1:80", "[::1]:80", "/run/x", "@abstract"}) {
    EXPECT_EQ(net::Address::parse(text).to_string(), text);
  }
  EXPECT_EQ(net::Address::parse("[::1]:8080").port(), 8080);
  EXPECT_EQ(net::Address::parse("[::1]:1"), net::Address::parse("[0::1]:1"));
  EXPECT_EQ(net::Address::parse("[::ffff:10.0.0.1]:1"), net::Address::parse("10.0.0.1:1"));
  for (const char* text : {"", "localhost:80", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:65536",
                           "::1:80", "127.1:80", "010.0.0.1:80", "0x7f.0.0.1:80", "1:80"}) {
    EXPECT_EQ(net_error_of([&] { (void)net::Address::parse(text); }),
              net::Errc::no_suitable_address)
        << text;
  }
  EXPECT_EQ(
      net_error_of([&] { (void)net::Address::parse(std::string_view("127.0.0.1\0x:80", 14)); }),
      net::Errc::no_suitable_address);
  EXPECT_EQ(net_error_of([&] { (void)net::Address::parse(std::string_view("/run/x\0y", 8)); }),
            net::Errc::no_suitable_address);
  for (const char* text : {"127.0.0.1:65616", "127.0.0.1:99999999999999999999999", "127.0.0.1:+80",
                           "127.0.0.1: 80", "127.0.0.1:-80", "127.0.0.1:*"}) {
    EXPECT_EQ(net_error_of([&] { (void)net::TcpListener::bind(text); }),
              net::Errc::no_suitable_address)
        << text;
    EXPECT_EQ(net_error_of([&] { (void)net::TcpConn::dial(text); }), net::Errc::no_suitable_address)
        << text;
  }
}

}  // namespace
