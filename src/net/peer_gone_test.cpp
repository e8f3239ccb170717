// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "hamgam/chan.h"
#include "hamgam/go.h"
#include "hamgam/net.h"
#include "hamgam/time.h"
#include "hamgam/waitgroup.h"
#include "support/until.h"

namespace hamgam {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace): literals

TEST(PeerGone, EndsWorkThatNobodyWillRead) {
  run([] {
    auto [server, client] = net::pipe();
    auto const never = make_chan<int>();
    std::stop_token const gone = server.peer_gone();
    EXPECT_EQ(gone, server.peer_gone());
    EXPECT_FALSE(gone.stop_requested());
    WaitGroup group;
    group.go([&, client = client] {
      client.write_all(std::as_bytes(std::span("question", 8)));  // this is no hang-up
      sleep(2ms);
      EXPECT_FALSE(gone.stop_requested());
      client.close();
    });
    EXPECT_FALSE(never.recv(gone).value.has_value());  // neither reads nor writes meanwhile
    group.wait();
    std::array<std::byte, 8> buffer{};
    EXPECT_EQ(server.read_exact(buffer), 8U);  // N39: and what came before is there
    // Asked for when it has hung up already, and been told.
    EXPECT_TRUE(test::comes_true([token = server.peer_gone()] { return token.stop_requested(); }));
  });
}

TEST(PeerGone, StopsAtACloseHere) {
  run([] {
    auto [a, b] = net::pipe();
    std::stop_token const gone = a.peer_gone();
    a.close();
    EXPECT_TRUE(test::comes_true([&] { return gone.stop_requested(); }));
    std::stop_token const other = [c = std::move(b)] { return c.peer_gone(); }();
    EXPECT_TRUE(test::comes_true([&] { return other.stop_requested(); }));
    EXPECT_THROW((void)a.peer_gone(), net::Error);
  });
}

TEST(PeerGone, IsHeardOfWithoutAnybodyWaitingAndBesideComputing) {
  run([] {
    auto [a, b] = net::pipe();
    std::stop_token const gone = a.peer_gone();
    std::thread peer([b = std::move(b)] { b.close(); });
    test::until([&] { return gone.stop_requested(); });  // it computes
    blocking([&] { peer.join(); });
  });
}

// Records are used again at once: each stop is the right connection's, once.
TEST(PeerGone, OfTheRightConnection) {
  run([] {
    std::atomic<int> stops{0};
    constexpr int kRounds = 300;
    auto [kept, other_end] = net::pipe();
    std::stop_token const never = kept.peer_gone();
    WaitGroup group;
    for (int worker = 0; worker < 4; ++worker) {
      group.go([&] {
        for (int i = 0; i < kRounds; ++i) {
          auto [a, b] = net::pipe();
          std::stop_token const gone = a.peer_gone();
          std::stop_callback const count(gone, [&] { ++stops; });
          EXPECT_FALSE(gone.stop_requested());
          WaitGroup closing;
          closing.go([b = std::move(b)] { b.close(); });
          if (i % 2 == 0) {
            a.close();
          }
          test::until([&] { return gone.stop_requested(); });
          closing.wait();
        }
      });
    }
    group.wait();
    EXPECT_EQ(stops, 4 * kRounds);
    EXPECT_FALSE(never.stop_requested());
  });
}

}  // namespace
}  // namespace hamgam
