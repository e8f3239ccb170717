// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Channels on which nobody will ever come.

#include <gtest/gtest.h>

#include <string>

#include "hamgam/hamgam.h"
#include "support/child.h"

namespace {

using hamgam::Chan;
using hamgam::make_chan;
using hamgam::on_recv;
using hamgam::on_send;
using hamgam::test::in_child;

// All asleep, and the dump says on what.
void expect_deadlock(void (*main)(), const std::string& state) {
  auto const child = in_child([main] { (void)hamgam::run(main); });
  EXPECT_TRUE(child.aborted());
  EXPECT_TRUE(child.begins("fatal error: all goroutines are asleep - deadlock!\n")) << child.error;
  EXPECT_TRUE(child.says("[" + state + "]")) << child.error;
}

TEST(ChanDeadlock, receive) {
  expect_deadlock([] { make_chan<int>().recv(); }, "chan receive");
}
TEST(ChanDeadlock, send) {
  expect_deadlock([] { make_chan<int>().send(1); }, "chan send");
}
TEST(ChanDeadlock, receive_nil) {
  expect_deadlock([] { Chan<int>().recv(); }, "chan receive (nil chan)");
}
TEST(ChanDeadlock, send_nil) {
  expect_deadlock([] { Chan<int>().send(1); }, "chan send (nil chan)");
}
TEST(ChanDeadlock, select) {
  expect_deadlock(
      [] {
        auto ch = make_chan<int>();
        hamgam::select(on_recv(ch), on_send(ch, 1));
      },
      "select");
}
TEST(ChanDeadlock, select_of_nothing) {
  expect_deadlock([] { hamgam::select(); }, "select (no cases)");
}

}  // namespace
