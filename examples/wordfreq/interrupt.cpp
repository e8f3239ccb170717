// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include "interrupt.h"

#include <fcntl.h>
#include <hamgam/go.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <system_error>
#include <utility>

// A signal may arrive while its thread holds any lock, so the handler must not cancel a Context
// itself. All it does is to close one end of a pipe, at whose other end a goroutine waits and
// cancels when that happens. It waits in hamgam::blocking, as it would for any call that blocks its
// thread: that costs no processor time, keeps no job from running, and tells the runtime that
// something from outside may still wake everybody, so that it takes no long wait for a deadlock.

namespace wordfreq {
namespace {

std::atomic<int> write_end{-1};  // -1: it is closed
static_assert(std::atomic<int>::is_always_lock_free, "no handler may use it otherwise");

// The handler on one thread and the destructor on another: one of them closes it.
void close_write_end() noexcept {
  if (const int fd = write_end.exchange(-1); fd >= 0) {
    close(fd);
  }
}

void handle_interrupt(int /*signal*/) {
  const int saved = errno;
  close_write_end();
  errno = saved;
}

void wait_until_closed(int read_end) noexcept {
  char byte = 0;
  while (read(read_end, &byte, 1) < 0 && errno == EINTR) {
  }
}

}  // namespace

CancelOnInterrupt::CancelOnInterrupt(hamgam::CancelFunc cancel) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) {
    throw std::system_error(errno, std::generic_category(), "pipe");
  }
  write_end.store(ends[1]);
  watcher_.go([read_end = ends[0], cancel = std::move(cancel)] {
    hamgam::blocking([read_end] { wait_until_closed(read_end); });
    cancel();
    close(read_end);
  });
  struct sigaction action {};
  action.sa_handler = handle_interrupt;
  action.sa_flags = static_cast<int>(SA_RESTART | SA_RESETHAND);  // the second one kills
  sigaction(SIGINT, &action, &former_);
}

CancelOnInterrupt::~CancelOnInterrupt() {
  sigaction(SIGINT, &former_, nullptr);
  close_write_end();
  watcher_.wait();
}

}  // namespace wordfreq
