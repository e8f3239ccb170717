// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "hamgam/go.h"
#include "hamgam/net.h"
#include "hamgam/time.h"
#include "hamgam/waitgroup.h"
#include "support/blocking_file.h"
#include "support/descriptors.h"
#include "support/until.h"

namespace hamgam {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace): literals

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) {
    text[i] = static_cast<char>(i * 7 + i / 251);
  }
  return text;
}

template <class Conn>
std::string read_to_end(const Conn& conn) {
  std::string all;
  std::vector<char> buffer(50'000);
  while (std::size_t const n = conn.read_some(std::as_writable_bytes(std::span(buffer)))) {
    all.append(buffer.data(), n);
  }
  return all;
}

std::pair<net::TcpConn, net::TcpConn> tcp() {
  auto listener = net::TcpListener::bind("127.0.0.1:0");
  net::TcpConn client = net::TcpConn::dial(listener.address().to_string());
  return {client, listener.accept()};
}

// A file without a name, with that in it, to be read from its beginning.
class File {
 public:
  explicit File(const std::string& text) : file_(std::tmpfile()) {
    EXPECT_EQ(std::fwrite(text.data(), 1, text.size(), file_), text.size());
    EXPECT_EQ(std::fflush(file_), 0);
    EXPECT_EQ(lseek(fd(), 0, SEEK_SET), 0);
  }
  ~File() { std::fclose(file_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  [[nodiscard]] int fd() const { return fileno(file_); }

 private:
  std::FILE* file_;
};

// N41
TEST(Copy, FilesInPartsFromWhereTheyStand) {
  run([] {
    std::string const text = pattern(3 << 20);
    File const file(text);
    auto [a, b] = tcp();
    WaitGroup group;
    group.go([&, a = a] {
      EXPECT_EQ(net::copy(file.fd(), a, 1000), 1000U);
      EXPECT_EQ(lseek(file.fd(), 0, SEEK_CUR), 1000);
      EXPECT_EQ(net::copy(file.fd(), a), text.size() - 1000);
      EXPECT_EQ(net::copy(file.fd(), a), 0U);
      a.close();
    });
    EXPECT_EQ(read_to_end(b), text);
    group.wait();
  });
}

TEST(Copy, FilesThatTheKernelDoesNotSend) {
  run([] {
    auto [a, b] = net::pipe();
    std::array<int, 2> ends{};
    ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
    EXPECT_EQ(write(ends[1], "through a pipe", 14), 14);
    ::close(ends[1]);
    EXPECT_EQ(net::copy(ends[0], a, 7), 7U);
    EXPECT_EQ(net::copy(ends[0], a), 7U);
    a.close();
    EXPECT_EQ(read_to_end(b), "through a pipe");
    EXPECT_EQ(fcntl(ends[0], F_GETFL) & O_NONBLOCK, 0);  // it is not ours to change
    ::close(ends[0]);
  });
}

TEST(Copy, StreamsOfAllKinds) {
  run([] {
    std::string const text = pattern(2 << 20);
    test::open_poller();
    int const before = test::open_descriptors();
    {
      auto [in, source] = tcp();
      auto [sink, out] = net::pipe();
      WaitGroup group;
      group.go([&, in = in] {
        in.write_all(std::as_bytes(std::span(text)));
        in.shutdown_write();
      });
      group.go([&, source = source, sink = sink] {
        EXPECT_EQ(net::copy(source, sink), text.size());
        sink.close();
      });
      EXPECT_TRUE(read_to_end(out) == text);
      group.wait();
      auto [back_in, back_source] = net::pipe();
      back_in.write_all(std::as_bytes(std::span("small", 5)));
      back_in.close();
      EXPECT_EQ(net::copy(back_source, source), 5U);
    }
    EXPECT_TRUE(test::comes_true([&] { return test::open_descriptors() <= before; }));
  });
}

// Without a system call of ours in between: whatever can be read and written.
struct Upper {
  net::Pipe conn;
  std::size_t read_some(std::span<std::byte> b) const {
    std::size_t const n = conn.read_some(b);
    std::transform(b.begin(), b.begin() + static_cast<std::ptrdiff_t>(n), b.begin(),
                   [](std::byte c) { return std::byte(std::toupper(static_cast<int>(c))); });
    return n;
  }
  void write_all(std::span<const std::byte> b) const { conn.write_all(b); }
};

TEST(Copy, StreamsOfUsers) {
  run([] {
    auto [a, b] = net::pipe();
    auto [c, d] = net::pipe();
    a.write_all(std::as_bytes(std::span("quiet", 5)));
    a.close();
    EXPECT_EQ(net::copy(Upper{b}, c), 5U);
    c.close();
    EXPECT_EQ(read_to_end(d), "QUIET");
  });
}

// N14: the bytes that went out before it failed.
TEST(Copy, TellsTheBytesOnFailure) {
  run([] {
    File const file(std::string(16 << 20, 'x'));
    auto [a, b] = tcp();
    a.set_write_deadline(Clock::now() + 50ms);
    std::size_t moved = 0;
    try {
      (void)net::copy(file.fd(), a);
      ADD_FAILURE();
    } catch (const net::Error& e) {
      EXPECT_EQ(e.code(), net::Errc::deadline);
      moved = e.transferred();
    }
    EXPECT_GT(moved, 0U);
    a.close();
    EXPECT_EQ(read_to_end(b).size(), moved);
    EXPECT_THROW((void)net::copy(file.fd(), a), net::Error);
    EXPECT_THROW((void)net::copy(net::Pipe(), b), net::Error);
  });
}

// Neither sendfile nor splice can be told not to block.
TEST(Copy, WithoutNonBlocking) {
  run([] {
    auto const fails = [](const auto& from, const auto& to) {
      try {
        (void)net::copy(from, to);
        ADD_FAILURE();
      } catch (const net::Error& e) {
        EXPECT_EQ(e.code(), net::Errc::deadline);
      }
    };
    File const file(std::string(16 << 20, 'x'));
    auto [a, b] = tcp();
    auto [c, d] = tcp();
    for (const net::TcpConn* conn : {&a, &b, &c}) {
      test::clear_nonblocking(conn->fd());
    }
    test::rescued(
        [&] {
          a.set_write_deadline(Clock::now() + 20ms);
          fails(file.fd(), a);  // nobody reads
          c.set_read_deadline(Clock::now() + 20ms);
          fails(c, b);  // nobody writes
          WaitGroup group;
          group.go([&] {
            std::vector<std::byte> const much(4 << 20);
            std::error_code error;
            (void)d.write_all(much, error);
          });
          c.set_read_deadline(TimePoint::max());
          b.set_write_deadline(Clock::now() + 20ms);
          fails(c, b);
          c.close();
          group.wait();
        },
        [&] {
          for (const net::TcpConn* conn : {&a, &b, &c, &d}) {
            conn->close();
          }
        });
  });
}

// The same where it waits for the file, which can't be waited for.
TEST(Copy, TellsTheBytesWhenTheFileCantBeWaitedFor) {
  run([] {
    auto [a, b] = net::pipe();
    std::array<int, 2> ends{};
    ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK), 0);
    EXPECT_EQ(write(ends[1], "seven..", 7), 7);
    int const next = dup(ends[0]);
    ::close(next);
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    rlimit const none{static_cast<rlim_t>(next), limit.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);  // no number for the poller
    std::size_t moved = 0;
    std::error_code error;
    try {
      (void)net::copy(ends[0], a);
    } catch (const net::Error& e) {
      moved = e.transferred();
      error = e.code();
    }
    setrlimit(RLIMIT_NOFILE, &limit);
    EXPECT_EQ(error, std::errc::too_many_files_open);
    EXPECT_EQ(moved, 7U);
    // And where it can be.
    WaitGroup group;
    group.go([&, a = a] { EXPECT_EQ(net::copy(ends[0], a, 5), 5U); });
    EXPECT_EQ(write(ends[1], "later", 5), 5);
    group.wait();
    a.close();
    EXPECT_EQ(read_to_end(b), "seven..later");
    ::close(ends[0]);
    ::close(ends[1]);
  });
}

// N34: neither sendfile nor splice can be told so.
TEST(Copy, RaisesNoSigPipe) {
  run([] {
    ASSERT_NE(std::signal(SIGPIPE, SIG_DFL), SIG_ERR);
    File const file(pattern(1 << 20));
    auto [a, b] = net::pipe();
    b.close();
    try {
      (void)net::copy(file.fd(), a);
      ADD_FAILURE();
    } catch (const net::Error& e) {
      EXPECT_EQ(e.code(), std::errc::broken_pipe);
    }
    auto [in, source] = net::pipe();
    in.write_all(std::as_bytes(std::span("x", 1)));
    try {
      (void)net::copy(source, a);
      ADD_FAILURE();
    } catch (const net::Error& e) {
      EXPECT_EQ(e.code(), std::errc::broken_pipe);
      EXPECT_EQ(e.transferred(), 0U);
    }
    sigset_t pending;
    sigpending(&pending);
    EXPECT_EQ(sigismember(&pending, SIGPIPE), 0);
  });
}

}  // namespace
}  // namespace hamgam
