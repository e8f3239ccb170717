// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <fcntl.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>
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

// A terminal that nobody reads says that it has room as long as there is any, and takes all or
// waits.
TEST(WriteError, gives_up_at_a_terminal_that_nobody_reads) {
  auto child = in_child([] {
    int const keyboard = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    char name[64] = "";
    if (keyboard < 0 || grantpt(keyboard) != 0 || unlockpt(keyboard) != 0 ||
        ptsname_r(keyboard, name, sizeof name) != 0) {
      std::_Exit(2);
    }
    dup2(open(name, O_WRONLY | O_NOCTTY | O_CLOEXEC), STDERR_FILENO);
    std::string const text(300, '.');
    int writes = 0;
    while (write_error_within(text, 10 * kMillisecond)) {
      ++writes;
    }
    std::_Exit(writes > 0 ? 0 : 1);
  });
  EXPECT_TRUE(child.succeeded()) << child.status;
}

// As of `program 2>&1 | head`: there is more to tell elsewhere, and a cause of death to die of.
TEST(WriteError, does_not_die_of_a_reader_who_has_gone) {
  auto child = in_child([] {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
      std::_Exit(2);
    }
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    (void)std::signal(SIGPIPE, SIG_DFL);
    std::_Exit(write_error_within("text", kMillisecond) ? 1 : 0);
  });
  EXPECT_TRUE(child.succeeded()) << child.status;
}

TEST(WriteError, writes_to_a_socket_what_fits) {
  auto child = in_child([] {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
      std::_Exit(2);
    }
    dup2(ends[1], STDERR_FILENO);
    std::string const text(300, '.');
    int writes = 0;
    while (write_error_within(text, kMillisecond)) {
      ++writes;
    }
    close(ends[0]);
    (void)std::signal(SIGPIPE, SIG_DFL);
    std::_Exit(writes > 0 && !write_error_within(text, kMillisecond) ? 0 : 1);
  });
  EXPECT_TRUE(child.succeeded()) << child.status;
}

}  // namespace
}  // namespace hamgam
