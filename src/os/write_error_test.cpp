// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>
#include <pthread.h>

#include <csignal>
#include <cstdlib>
#include <thread>

#include "os/signals.h"
#include "os/thread.h"
#include "support/child.h"
#include "support/full_pipe.h"

namespace hamgam {
namespace {

using detail::kMillisecond;
using detail::write_error_within;
using test::fill_standard_error;
using test::in_child;

TEST(WriteError, gives_up_where_nobody_reads) {
  auto child = in_child([] {
    fill_standard_error();
    bool const written = write_error_within("text", kMillisecond) || write_error_within("text", 0);
    std::_Exit(written ? 1 : 0);
  });
  EXPECT_TRUE(child.succeeded()) << child.status;
}

// Each signal made it begin to wait anew, or write where there was no room, which has no limit.
TEST(WriteError, gives_up_while_signals_come) {
  auto child = in_child([] {
    fill_standard_error();
    struct sigaction action {};
    action.sa_handler = [](int) {};
    action.sa_flags = SA_RESTART;
    sigaction(SIGUSR1, &action, nullptr);
    pthread_t const self = pthread_self();
    std::thread([self] {
      for (;;) {
        pthread_kill(self, SIGUSR1);
        detail::nap_thread();
      }
    }).detach();
    std::_Exit(write_error_within("text", 100 * kMillisecond) ? 1 : 0);
  });
  EXPECT_TRUE(child.succeeded()) << child.status;
}

}  // namespace
}  // namespace hamgam
