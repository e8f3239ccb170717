// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
//
// More of what Go's tests of net ask for over each kind of stream, and what broke elsewhere.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <random>
#include <stop_token>
#include <string>
#include <system_error>
#include <tuple>
#include <vector>

#include "hamgam/hamgam.h"
#include "support/allocations.h"
#include "support/blocking_file.h"
#include "support/crew.h"
#include "support/scale.h"
#include "support/seed.h"
#include "support/streams.h"
#include "support/until.h"

namespace hamgam {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace): literals
using test::bytes_of;
using test::net_error_of;
using test::Procs;
using test::read_to_end;

template <class Kind>
class StreamOf : public testing::Test {
 protected:
  void SetUp() override { std::tie(a, b) = Kind::make(); }

  typename Kind::Conn a;
  typename Kind::Conn b;
};
TYPED_TEST_SUITE(StreamOf, test::Streams);

// N9, N4
TYPED_TEST(StreamOf, VariousDeadlines) {
  for (int procs : {1, 4}) {
    Procs const width(procs);
    run([&] {
      std::array<std::byte, 4> buffer{};
      for (std::chrono::nanoseconds const d :
           {1ns, 2ns, 1000ns, 20'000ns, 1'000'000ns, 5'000'000ns, 30'000'000ns}) {
        for (int i = 0; i < 3; ++i) {
          auto const end = Clock::now() + d;
          this->a.set_read_deadline(end);
          EXPECT_EQ(net_error_of([&] { this->a.read_some(buffer); }), net::Errc::deadline);
          EXPECT_GE(Clock::now(), end);
          EXPECT_EQ(net_error_of([&] { this->a.read_some(buffer); }), net::Errc::deadline);
        }
      }
      this->a.set_read_deadline(TimePoint::max());
      this->b.write_all(bytes_of("none"));  // is lost
      EXPECT_EQ(this->a.read_exact(buffer), 4U);
    });
  }
}

// N10
TYPED_TEST(StreamOf, FarDeadlinesAreFar) {
  run([&] {
    WaitGroup group;
    std::array<std::byte, 1> buffer{};
    group.go([&] { EXPECT_EQ(this->a.read_some_for(buffer, std::chrono::hours::max()), 1U); });
    yield();
    this->b.write_all(bytes_of("x"));
    group.wait();
  });
}

// N22, B3: whoever is in a call while it is closed never reads from the next one of that number.
TYPED_TEST(StreamOf, NumbersAreNotUsedAgainUnderACall) {
  int const rounds = test::scaled(1000);
  for (int procs : {1, 4}) {
    Procs const width(procs);
    run([&] {
      for (int i = 0; i < rounds; ++i) {
        auto [mine, peer] = TypeParam::make();
        WaitGroup group;
        for (int k = 0; k < 2; ++k) {
          group.go([mine = mine] {
            std::array<std::byte, 4> buffer{};
            std::error_code error;
            while (mine.read_some(buffer, error) > 0) {
              EXPECT_EQ(buffer[0], std::byte{'m'});
            }
            EXPECT_EQ(error, net::Errc::closed);
          });
        }
        peer.write_all(bytes_of("m"));
        if (i % 2 == 0) {
          yield();
        }
        mine.close();
        auto [next, next_peer] = TypeParam::make();
        next_peer.write_all(bytes_of("n"));
        std::byte one{};
        EXPECT_EQ(next.read_some({&one, 1}), 1U);
        EXPECT_EQ(one, std::byte{'n'});
        group.wait();
      }
    });
  }
}

// N28: what was written goes out in the background. N29, N30, N31
TYPED_TEST(StreamOf, CloseWaitsForNobodyAndLosesNothing) {
  run([&] {
    std::array<std::byte, 10> buffer{};
    EXPECT_EQ(this->a.write_some(bytes_of("abc")), 3U);
    EXPECT_EQ(this->b.read_some(buffer), 3U);  // what there is
    this->a.set_write_deadline(Clock::now() + 20ms);
    std::error_code error;
    std::string const much(64 << 20, 'x');
    std::size_t const taken = this->a.write_all(bytes_of(much), error);  // as much as there is room
    EXPECT_EQ(error, net::Errc::deadline);
    this->a.close();
    EXPECT_EQ(read_to_end(this->b).size(), taken);
    EXPECT_EQ(this->b.read_some(buffer), 0U);
  });
}

// N32: more than the kernel takes in one call.
TYPED_TEST(StreamOf, MoreThanAGigabyteInOneCall) {
  bool const plain = !test::kSanitized && !test::emulated();
  std::size_t const size = (plain ? std::size_t{1} << 30 : std::size_t{1} << 22) + 12'345;
  // One page of zeros, seen many times.
  void* const zeros =
      mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(zeros, MAP_FAILED);
  run([&] {
    WaitGroup group;
    group.go([&] {
      this->a.write_all({static_cast<const std::byte*>(zeros), size});
      this->a.close();
    });
    std::vector<std::byte> buffer(1 << 20);
    std::size_t got = 0;
    while (std::size_t const n = this->b.read_some(buffer)) {
      got += n;
    }
    group.wait();
    EXPECT_EQ(got, size);
  });
  munmap(zeros, size);
}

// N38
TYPED_TEST(StreamOf, ReadsAndWritesAllocateNothing) {
  run([&] {
    std::array<std::byte, 16> buffer{};
    WaitGroup group;
    group.go([&] {
      std::array<std::byte, 16> other{};
      while (this->b.read_exact(other) == other.size()) {
        this->b.write_all(other);
      }
    });
    auto play = [&] {
      for (int i = 0; i < 100; ++i) {
        this->a.write_all(buffer);
        EXPECT_EQ(this->a.read_exact(buffer), buffer.size());
      }
    };
    play();
    std::size_t const before = test::allocations();
    play();
    EXPECT_EQ(test::allocations(), before);
    this->a.close();
    group.wait();
  });
}

// N40
TYPED_TEST(StreamOf, PiecesAreWrittenAsOne) {
  run([&] {
    std::vector<std::string> texts;
    std::string all;
    for (std::size_t i = 0; i < 1500; ++i) {
      texts.emplace_back(i % 7 == 0 ? 0 : i % 300, static_cast<char>('a' + i % 26));
      all += texts.back();
    }
    texts[700] = std::string(5 << 20, 'z');  // does not fit at once
    all.clear();
    std::vector<std::span<const std::byte>> pieces;
    for (const auto& text : texts) {
      pieces.push_back(bytes_of(text));
      all += text;
    }
    WaitGroup group;
    group.go([&] {
      this->a.write_all(pieces);
      std::error_code error = std::make_error_code(std::errc::io_error);
      EXPECT_EQ(this->a.write_all(std::span(pieces).first(5), error), 10U);
      EXPECT_FALSE(error);
      std::stop_source stopped;
      stopped.request_stop();
      EXPECT_EQ(this->a.write_all(std::span(pieces).first(5), stopped.get_token()), 10U);
      EXPECT_EQ(this->a.write_all_for(std::span(pieces).first(5), 0s), 10U);
      EXPECT_EQ(this->a.write_all_until(std::span(pieces).first(5), Clock::now()), 10U);
      EXPECT_EQ(this->a.write_all(std::span(pieces).first(1), error), 0U);  // an empty one
      EXPECT_FALSE(error);
      EXPECT_EQ(this->a.write_all(std::span(pieces).first(0), error), 0U);
      EXPECT_FALSE(error);
      this->a.close();
      EXPECT_EQ(this->a.write_all(pieces, error), 0U);
      EXPECT_EQ(error, net::Errc::closed);
    });
    std::string const got = read_to_end(this->b);
    group.wait();
    std::string const first = all.substr(0, 10);
    EXPECT_TRUE(got == all + first + first + first + first);
  });
}

// N40, N13: and tell what went out when they end half-way.
TYPED_TEST(StreamOf, PiecesThatAreGivenUpTellTheBytes) {
  run([&] {
    std::string const text(1 << 20, 'x');
    std::vector<std::span<const std::byte>> const pieces(40, bytes_of(text));
    auto const taken = this->a.write_all_for(pieces, 20ms);
    ASSERT_TRUE(taken.has_value());
    EXPECT_LT(*taken, 40 * text.size());
    std::size_t more = 0;
    this->a.set_write_deadline(Clock::now());
    try {
      this->a.write_all(pieces);
      ADD_FAILURE();
    } catch (const net::Error& e) {
      EXPECT_EQ(e.code(), net::Errc::deadline);
      EXPECT_EQ(std::string(e.what()).rfind("write ", 0), 0U);
      more = e.transferred();
    }
    this->a.close();
    EXPECT_EQ(read_to_end(this->b).size(), *taken + more);
  });
}

// The limits of one call, in all their forms.
TYPED_TEST(StreamOf, EachCallHasEachLimit) {
  run([&] {
    std::array<std::byte, 4> buffer{};
    std::stop_source stopped;
    stopped.request_stop();
    EXPECT_EQ(this->a.write_some_for(bytes_of("ab"), 0s), 2U);
    EXPECT_EQ(this->a.write_some_until(bytes_of("cd"), Clock::now() - 1h), 2U);
    EXPECT_EQ(this->a.write_some(bytes_of("ef"), stopped.get_token()), 2U);
    EXPECT_EQ(this->a.write_all_until(bytes_of("gh"), Clock::now() - 1h), 2U);
    EXPECT_EQ(this->b.read_exact_until(buffer, Clock::now() + 1h), 4U);
    EXPECT_EQ(std::memcmp(buffer.data(), "abcd", 4), 0);
    EXPECT_EQ(this->b.read_exact_for(buffer, 1h), 4U);
    EXPECT_FALSE(this->b.read_exact_until(buffer, Clock::now() + 1ms));
    EXPECT_FALSE(this->b.read_exact(buffer, stopped.get_token()));
  });
}

// Of no byte, too.
TYPED_TEST(StreamOf, NothingIsMovedAfterTheDeadline) {
  run([&] {
    std::error_code error;
    EXPECT_EQ(this->a.write_some({}, error), 0U);
    EXPECT_FALSE(error);
    this->a.set_deadline(Clock::now() - 1ms);
    EXPECT_EQ(this->a.write_all(std::span<const std::byte>(), error), 0U);
    EXPECT_EQ(error, net::Errc::deadline);
    EXPECT_EQ(net_error_of([&] { (void)this->a.read_some({}); }), net::Errc::deadline);
    this->a.set_read_deadline(TimePoint::max());
    EXPECT_EQ(this->a.read_some({}, error), 0U);
    EXPECT_FALSE(error);
  });
}

// B1: a byte that comes at any moment around "there is none, so sleep".
TYPED_TEST(StreamOf, NoWakeUpIsLost) {
  std::uint64_t const seed = test::seed();
  int const rounds = test::scaled(20'000);
  run([&] {
    WaitGroup group;
    group.go([&] {
      std::mt19937_64 engine(seed);
      std::array<std::byte, 1> byte{};
      for (int i = 0; i < rounds; ++i) {
        EXPECT_EQ(this->b.read_exact(byte), 1U);
        for (auto spins = engine() % 64; spins > 0; --spins) {
          std::atomic_signal_fence(std::memory_order_seq_cst);
        }
        if (engine() % 8 == 0) {
          yield();
        }
        this->b.write_all(byte);
      }
    });
    std::array<std::byte, 1> byte{};
    for (int i = 0; i < rounds; ++i) {
      this->a.write_all(byte);
      ASSERT_EQ(this->a.read_some_for(byte, 1min), 1U);
    }
    group.wait();
  });
}

// B4, N19: whatever ends it ends it for those who wait, in either direction.
TYPED_TEST(StreamOf, EndsWakeWhoWaits) {
  run([&] {
    std::string const much(64 << 20, 'x');
    for (int act = 0; act < 4; ++act) {
      for (int who = 1; who < 4; ++who) {
        auto [mine, peer] = TypeParam::make();
        WaitGroup group;
        if ((who & 1) != 0) {
          group.go([mine = mine] {
            std::array<std::byte, 4> buffer{};
            std::error_code error;
            EXPECT_EQ(mine.read_some(buffer, error), 0U);
          });
        }
        if ((who & 2) != 0) {
          group.go([mine = mine, &much] {
            std::error_code error;
            EXPECT_LT(mine.write_all(bytes_of(much), error), much.size());
            EXPECT_TRUE(error);
          });
        }
        sleep(1ms);  // most often they wait by then
        if (act == 3) {
          mine.close();
        }
        if (act == 1 || act == 2) {
          mine.shutdown_write();
        }
        if (act == 0 || act == 2) {
          mine.shutdown_read();
        }
        // The end of the other direction is the peer's to make.
        if (act != 3) {
          peer.close();
        }
        group.wait();
      }
    }
  });
}

// B10: what comes together with the end, or before a reset, is read; and the end, again and again.
TYPED_TEST(StreamOf, DataBeforeTheEnd) {
  run([&] {
    for (std::size_t const size : {1U, 1000U, 1'000'000U}) {
      for (bool const half : {true, false}) {
        auto [mine, peer] = TypeParam::make();
        std::string const text(size, 'x');
        WaitGroup group;
        group.go([&, peer = peer] {
          peer.write_all(bytes_of(text));
          if (half) {
            peer.shutdown_write();
          } else {
            peer.close();
          }
        });
        EXPECT_TRUE(read_to_end(mine) == text);
        std::byte one{};
        EXPECT_EQ(mine.read_some({&one, 1}), 0U);
        group.wait();
      }
    }
  });
}

// B17: both directions, each blocked most of the time, with several at each.
TYPED_TEST(StreamOf, BothDirectionsFull) {
  constexpr std::size_t kEach = 4 << 20;
  run([&] {
    WaitGroup group;
    std::atomic<std::size_t> got{0};
    for (auto* conn : {&this->a, &this->b}) {
      for (int i = 0; i < 2; ++i) {
        group.go([=] { conn->write_all(bytes_of(std::string(kEach, 'x'))); });
        group.go([=, &got] {
          std::vector<std::byte> buffer(10'000);
          EXPECT_EQ(conn->read_exact(std::span(buffer).first(1)), 1U);
          for (std::size_t left = kEach - 1; left > 0;) {
            left -= conn->read_some(std::span(buffer).first(std::min(left, buffer.size())));
          }
          got += kEach;
        });
      }
    }
    group.wait();
    EXPECT_EQ(got, 4 * kEach);
  });
}

// B18: calls that were given up leave nothing behind for the next one.
TYPED_TEST(StreamOf, GivenUpManyTimes) {
  int const rounds = test::scaled(2000);
  run([&] {
    std::array<std::byte, 1> byte{};
    std::stop_source stopped;
    stopped.request_stop();
    for (int i = 0; i < rounds; ++i) {
      EXPECT_FALSE(this->a.read_some_for(byte, 10us));
      EXPECT_FALSE(this->a.read_some(byte, stopped.get_token()));
    }
    std::atomic<bool> written{false};
    WaitGroup group;
    group.go([&] {
      EXPECT_EQ(this->a.read_some(byte), 1U);
      EXPECT_TRUE(written);
    });
    sleep(2ms);  // longer than any limit of before
    written = true;
    this->b.write_all(bytes_of("x"));
    group.wait();
  });
}

// B7: somebody else, a child say, has cleared O_NONBLOCK of the file that both have.
TYPED_TEST(StreamOf, WithoutNonBlocking) {
  Procs const width(1);
  run([&] {
    test::clear_nonblocking(this->a.fd());
    std::array<std::byte, 1> byte{};
    EXPECT_FALSE(this->a.read_some_for(byte, 1ms));
    this->a.set_read_deadline(Clock::now() + 1ms);
    EXPECT_EQ(net_error_of([&] { this->a.read_some(byte); }), net::Errc::deadline);
    this->a.set_read_deadline(TimePoint::max());
    WaitGroup group;
    group.go([&] {
      std::array<std::byte, 1> other{};
      EXPECT_EQ(net_error_of([&] { this->a.read_some(other); }), net::Errc::closed);
    });
    group.go([&] {
      std::string const much(64 << 20, 'x');
      EXPECT_EQ(net_error_of([&] { this->a.write_all(bytes_of(much)); }), net::Errc::closed);
    });
    sleep(2ms);  // most often they wait by then
    this->a.close();
    group.wait();
  });
}

template <class Conn, class Listener>
void accept_without_nonblocking(const Listener& listener) {
  test::clear_nonblocking(listener.fd());
  test::rescued([&] { EXPECT_FALSE(listener.accept_for(1ms)); },
                [&] { (void)Conn::dial(listener.address().to_string()); });
}

TEST(Listener, WithoutNonBlocking) {
  run([] {
    accept_without_nonblocking<net::TcpConn>(net::TcpListener::bind("127.0.0.1:0"));
    accept_without_nonblocking<net::UnixConn>(
        net::UnixListener::bind("@hamgam-" + std::to_string(getpid())));
  });
}

// N65, N66: closed on exec, and not blocking, also when it is handed out.
TYPED_TEST(StreamOf, FlagsOfTheNumber) {
  for (const auto* conn : {&this->a, &this->b}) {
    EXPECT_EQ(fcntl(conn->fd(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    EXPECT_EQ(fcntl(conn->fd(), F_GETFL) & O_NONBLOCK, O_NONBLOCK);
  }
  int const number = this->a.release();
  EXPECT_EQ(fcntl(number, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
  ::close(number);
}

}  // namespace
}  // namespace hamgam
