// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
//
// What Unix sockets have beyond other streams: files that go through them.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>
#include <string>

#include "hamgam/go.h"
#include "hamgam/net.h"
#include "hamgam/time.h"
#include "hamgam/waitgroup.h"
#include "support/descriptors.h"

namespace hamgam {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace): literals

struct Ends {
  Ends() {
    std::string const name = "@hamgam-unix-test-" + std::to_string(getpid());
    auto listener = net::UnixListener::bind(name);
    a = net::UnixConn::dial(name);
    b = listener.accept();
  }
  net::UnixConn a;
  net::UnixConn b;
};

// The kernel has no event for "there is room in the listener's queue".
TEST(UnixConn, WaitsForAListenerThatIsBusy) {
  constexpr int kDials = 8;
  std::string const name = "@hamgam-unix-busy-" + std::to_string(getpid());
  run([&] {
    auto const listener = net::UnixListener::bind(name);
    ASSERT_EQ(listen(listener.fd(), 1), 0);  // shortens it
    std::atomic<int> dialled{0};
    WaitGroup group;
    for (int i = 0; i < kDials; ++i) {
      group.go([&] {
        auto const conn = net::UnixConn::dial(name);
        ++dialled;
        std::array<std::byte, 1> byte{};
        EXPECT_EQ(conn.read_exact(byte), 1U);
      });
    }
    sleep(2ms);  // some wait by then
    EXPECT_LT(dialled, kDials);
    for (int i = 0; i < kDials; ++i) {
      listener.accept().write_all(std::array{std::byte{1}});
    }
    group.wait();
  });
}

TEST(UnixConn, PassesFiles) {
  run([] {
    Ends const ends;
    WaitGroup group;
    group.go([&] {
      for (int i = 0; i < 20; ++i) {
        auto [mine, theirs] = net::pipe();
        ends.a.send_fd(theirs.fd());
        theirs.close();  // what was sent stays open
        std::array<std::byte, 5> buffer{};
        EXPECT_EQ(mine.read_exact(buffer), 5U);
        EXPECT_EQ(std::memcmp(buffer.data(), "hello", 5), 0);
      }
      ends.a.close();
    });
    for (int i = 0; i < 20; ++i) {
      int const fd = ends.b.receive_fd();
      ASSERT_GE(fd, 0);
      EXPECT_EQ(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);  // N64
      EXPECT_EQ(write(fd, "hello", 5), 5);
      ::close(fd);
    }
    EXPECT_EQ(ends.b.receive_fd(), -1);  // the end
    group.wait();
  });
}

TEST(UnixConn, ByteWithoutAFileIsNoFile) {
  run([] {
    Ends const ends;
    int const before = test::open_descriptors();
    ends.a.write_all(std::as_bytes(std::span("!", 1)));
    std::error_code error;
    EXPECT_EQ(ends.b.receive_fd(error), -1);
    EXPECT_EQ(error, std::errc::bad_message);
    // Several with one byte: the first counts, the others are not left open.
    std::array<int, 3> const files{0, 1, 2};
    alignas(cmsghdr) char room[CMSG_SPACE(sizeof files)] = {};
    char byte = 0;
    iovec piece{&byte, 1};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = room;
    message.msg_controllen = sizeof room;
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof files);
    std::memcpy(CMSG_DATA(header), files.data(), sizeof files);
    EXPECT_EQ(sendmsg(ends.a.fd(), &message, 0), 1);
    int const fd = ends.b.receive_fd();
    EXPECT_GE(fd, 0);
    ::close(fd);
    EXPECT_EQ(test::open_descriptors(), before);
    ends.a.send_fd(-1, error);
    EXPECT_EQ(error, std::errc::bad_file_descriptor);
    ends.b.set_read_deadline(Clock::now() + 1ms);
    EXPECT_EQ(ends.b.receive_fd(error), -1);
    EXPECT_EQ(error, net::Errc::deadline);
    ends.b.close();
    EXPECT_EQ(ends.b.receive_fd(error), -1);
    EXPECT_EQ(error, net::Errc::closed);
  });
}

}  // namespace
}  // namespace hamgam
