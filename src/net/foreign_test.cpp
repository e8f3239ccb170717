// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
//
// Descriptors that are another library's.
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>

#include "hamgam/go.h"
#include "hamgam/net.h"
#include "hamgam/time.h"
#include "hamgam/waitgroup.h"
#include "support/descriptors.h"
#include "support/until.h"

namespace hamgam {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace): literals

struct Two {
  Two() { EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends.data()), 0); }
  ~Two() {
    ::close(ends[0]);
    ::close(ends[1]);
  }
  Two(const Two&) = delete;
  Two& operator=(const Two&) = delete;
  void tell() const { EXPECT_EQ(write(ends[1], "x", 1), 1); }
  void take() const {
    char c = 0;
    EXPECT_EQ(read(ends[0], &c, 1), 1);
  }
  std::array<int, 2> ends{};
};

TEST(Foreign, ManyWaitersTakeOneDescriptor) {
  run([] {
    constexpr int kWaiters = 500;
    Two const pair;
    int const event = eventfd(0, EFD_NONBLOCK);
    test::open_poller();
    int const before = test::open_descriptors();
    std::atomic<int> begun{0};
    WaitGroup group;
    for (int i = 0; i < kWaiters; ++i) {
      group.go([&] {
        ++begun;
        net::wait_readable(pair.ends[0]);
      });
    }
    test::until([&] { return begun == kWaiters; });
    sleep(2ms);  // most of them wait by then
    EXPECT_LE(test::open_descriptors(), before + 1);
    for (int i = 0; i < 20; ++i) {  // of such as these the kernel need not say which is which
      group.go([&] { net::wait_readable(event); });
    }
    pair.tell();
    eventfd_write(event, 1);
    group.wait();
    EXPECT_EQ(test::open_descriptors(), before);
    ::close(event);
  });
}

TEST(Foreign, NumberThatIsUsedAgainIsAnotherFile) {  // B6
  run([] {
    Two former;
    Two const other;
    WaitGroup old_one;
    WaitGroup new_one;
    std::atomic<bool> woken{false};
    int const number = dup(former.ends[0]);
    test::open_poller();
    int const before = test::open_descriptors();
    old_one.go([number] { net::wait_readable(number); });
    test::until([&] { return test::open_descriptors() == before + 1; });  // a copy of it
    EXPECT_EQ(dup2(other.ends[0], number), number);  // as one who closes and opens
    new_one.go([&] {
      net::wait_readable(number);
      woken = true;
    });
    test::until([&] { return test::open_descriptors() == before + 2; });
    former.tell();
    old_one.wait();
    EXPECT_FALSE(woken);
    other.tell();
    new_one.wait();
    ::close(number);
  });
}

TEST(Foreign, WaitersWithAndWithoutLimitsShare) {
  run([] {
    Two const pair;
    WaitGroup patient;
    WaitGroup limited;
    std::stop_source source;
    for (int i = 0; i < 20; ++i) {
      patient.go([&] { net::wait_readable(pair.ends[0]); });
      limited.go([&] { EXPECT_FALSE(net::wait_readable_for(pair.ends[0], 1ms)); });
      limited.go([&] { EXPECT_FALSE(net::wait_readable(pair.ends[0], source.get_token())); });
    }
    sleep(2ms);  // some of them wait by then
    source.request_stop();
    limited.wait();
    pair.tell();
    patient.wait();
  });
}

// B5: each direction is told apart, whatever the other one does, in any order.
TEST(Foreign, BothDirectionsManyTimes) {
  run([] {
    Two const pair;
    int const small = 4096;
    ASSERT_EQ(setsockopt(pair.ends[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    constexpr int kRounds = 200;
    WaitGroup group;
    std::array<char, 16384> bytes{};
    std::atomic<int> filled{0};
    std::atomic<int> emptied{0};
    group.go([&] {
      for (int i = 0; i < kRounds; ++i) {
        net::wait_readable(pair.ends[0]);
        pair.take();
        while (write(pair.ends[0], bytes.data(), bytes.size()) > 0) {
        }
        ++filled;
        net::wait_writable(pair.ends[0]);
        ++emptied;
      }
    });
    std::array<char, 16384> sink{};
    for (int i = 0; i < kRounds; ++i) {
      pair.tell();
      test::until([&] { return filled > i; });
      EXPECT_FALSE(net::wait_readable_for(pair.ends[0], 0ns));
      while (emptied <= i) {
        while (read(pair.ends[1], sink.data(), sink.size()) > 0) {
        }
        yield();
      }
    }
    group.wait();
  });
}

// Each begins to wait at some moment of the others' waits and ends.
TEST(Foreign, WaitersComeWhileItBecomesReady) {
  run([] {
    Two const pair;
    int const small = 4096;
    ASSERT_EQ(setsockopt(pair.ends[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    std::array<char, 16384> bytes{};
    for (int round = 0; round < 300; ++round) {
      while (write(pair.ends[0], bytes.data(), bytes.size()) > 0) {
      }
      WaitGroup group;
      for (int i = 0; i < 4; ++i) {
        group.go([&] { net::wait_readable(pair.ends[0]); });
        group.go([&] { net::wait_writable(pair.ends[0]); });
      }
      group.go([&] {
        for (int i = 0; i < round % 5; ++i) {
          yield();
        }
        pair.tell();
        while (read(pair.ends[1], bytes.data(), bytes.size()) > 0) {
        }
      });
      group.wait();
      pair.take();
    }
  });
}

}  // namespace
}  // namespace hamgam
