// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Channels misused: Go's texts, as a Panic or as the end of the process.

#include <gtest/gtest.h>

#include <cstddef>
#include <string>

#include "hamgam/hamgam.h"
#include "support/child.h"

namespace {

using hamgam::Chan;
using hamgam::make_chan;
using hamgam::on_recv;
using hamgam::on_send;
using hamgam::test::in_child;

template <class F>
std::string panic_of(F&& f) {
  try {
    f();
  } catch (const hamgam::Panic& panic) {
    return panic.what();
  }
  return "no panic";
}

TEST(ChanMisuse, panics_with_gos_texts) {
  auto ch = make_chan<int>(1);
  ch.close();
  EXPECT_EQ(panic_of([&] { ch.send(1); }), "send on closed channel");
  EXPECT_EQ(panic_of([&] { (void)ch.try_send(1); }), "send on closed channel");
  EXPECT_EQ(panic_of([&] { (void)ch.send_for(1, std::chrono::hours(1)); }),
            "send on closed channel");
  EXPECT_EQ(panic_of([&] { (void)ch.send(1, std::stop_token()); }), "send on closed channel");
  EXPECT_EQ(panic_of([&] { hamgam::select(on_send(ch, 1)); }), "send on closed channel");
  EXPECT_EQ(panic_of([&] {
              hamgam::SelectSet set;
              set.add(on_send(ch, 1));
              set.wait();
            }),
            "send on closed channel");
  EXPECT_EQ(panic_of([&] { ch.close(); }), "close of closed channel");
  EXPECT_EQ(panic_of([] { Chan<int>().close(); }), "close of nil channel");
}

TEST(ChanMisuse, makechan_size_out_of_range) {
  EXPECT_EQ(panic_of([] { (void)make_chan<int>(static_cast<std::size_t>(-1)); }),
            "makechan: size out of range");
  EXPECT_EQ(panic_of([] { (void)make_chan<int>(std::size_t{1} << 60); }),
            "makechan: size out of range");
}

TEST(ChanMisuse, uncaught_in_a_goroutine) {
  auto const child = in_child([] {
    (void)hamgam::run([] {
      auto ch = make_chan<int>();
      ch.close();
      hamgam::go([ch] { ch.send(1); });
      make_chan<int>().recv();
    });
  });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins("panic: send on closed channel\n")) << child.error;
}

}  // namespace
