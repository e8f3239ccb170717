// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <ctime>

#include "base/fatal.h"
#include "hamgam/detail/atomic.h"
#include "os/epoll.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr Nanos kPerSecond = 1'000'000'000;
constexpr Nanos kPerMilli = 1'000'000;

// In nanoseconds where the kernel has that (Linux 5.11) and does not forbid it.
int wait_for(int fd, epoll_event* events, Nanos limit) noexcept {
#if defined(SYS_epoll_pwait2)
  static constinit atomic<bool> refused{false};
  if (!refused.load(kRelaxed)) {  // relaxed: it is refused again
    timespec const time{static_cast<time_t>(limit / kPerSecond),
                        static_cast<long>(limit % kPerSecond)};
    long const count = syscall(SYS_epoll_pwait2, fd, events, kPollBatch,
                               limit == kForever ? nullptr : &time, nullptr, 0);
    if (count >= 0 || (errno != ENOSYS && errno != EPERM)) {
      return static_cast<int>(count);
    }
    refused.store(true, kRelaxed);  // relaxed: who misses it is refused again
  }
#endif
  // Not shorter than asked: callers would wait again and again until it is over.
  Nanos const millis = limit == kForever ? -1 : limit / kPerMilli + (limit % kPerMilli != 0);
  return epoll_wait(fd, events, kPollBatch,
                    static_cast<int>(std::min<Nanos>(millis, Nanos{INT_MAX})));
}

}  // namespace

int Epoll::open() noexcept {
  TsanIgnore const unseen;  // our own descriptors
  int const fd = epoll_create1(EPOLL_CLOEXEC);
  if (fd < 0) {
    return errno;
  }
  int const wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;  // each write is an event; it is never read
  event.data.u64 = kInterrupt;
  if (wake < 0 || epoll_ctl(fd, EPOLL_CTL_ADD, wake, &event) != 0) {
    int const error = errno;
    if (wake >= 0) {
      ::close(wake);
    }
    ::close(fd);
    return error;
  }
  fd_ = fd;
  wake_ = wake;
  return 0;
}

int Epoll::add(int fd, std::uint64_t data) const noexcept {
  TsanIgnore const unseen;  // our own descriptors
  epoll_event event{};
  event.events = EPOLLET | EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLOUT;
  event.data.u64 = data;
  return epoll_ctl(fd_, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : errno;
}

void Epoll::remove(int fd) const noexcept {
  TsanIgnore const unseen;  // our own descriptors
  epoll_event event{};
  (void)epoll_ctl(fd_, EPOLL_CTL_DEL, fd, &event);
}

int Epoll::wait(PollEvent* events, Nanos deadline) const noexcept {
  TsanIgnore const unseen;  // our own descriptors
  Nanos limit = deadline;
  if (deadline != kForever && deadline != 0) {
    limit = std::max(Nanos{0}, deadline - now());
  }
  epoll_event raw[kPollBatch];
  int const count = wait_for(fd_, raw, limit);
  if (count < 0 && errno != EINTR) {
    // Somebody has closed it (closefrom()): no socket would ever be heard of again.
    fatal("hamgam: the descriptor that all sockets are waited for by was closed");
  }
  for (int i = 0; i < count; ++i) {
    std::uint32_t const mask = raw[i].events;
    events[i].data = raw[i].data.u64;
    events[i].readable = (mask & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    events[i].writable = (mask & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0;
    events[i].last = (mask & (EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    events[i].gone = (mask & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
  }
  return std::max(count, 0);
}

void Epoll::interrupt() const noexcept {
  TsanIgnore const unseen;  // our own descriptors
  std::uint64_t const one = 1;
  // It fails only if the counter is full, which it never is.
  (void)!write(wake_, &one, sizeof one);
}

bool is_same_file(int a, int b) noexcept {
#if defined(SYS_kcmp)
  constexpr int kFile = 0;  // KCMP_FILE
  pid_t const self = getpid();
  long const differ = syscall(SYS_kcmp, self, self, kFile, a, b);
  if (differ >= 0) {
    return differ == 0;
  }
#endif
  // It may be forbidden. No two sockets have the same number, unlike much else.
  struct stat one {};
  struct stat other {};
  return fstat(a, &one) == 0 && fstat(b, &other) == 0 && S_ISSOCK(one.st_mode) &&
         one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
