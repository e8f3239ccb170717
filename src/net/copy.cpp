// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
//
// Bytes that go from one place to another without a visit here, where the kernel can do that: from
// a file by sendfile, from a socket through a pipe by splice. Where it can't, by a buffer.
#include <fcntl.h>
#include <pthread.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <memory>

#include "hamgam/go.h"
#include "net/number.h"

namespace hamgam::inline HAMGAM_ABI::net::detail {

using hamgam::detail::operate;
using hamgam::detail::TsanIgnore;

namespace {

constexpr std::size_t kBuffer = std::size_t{64} << 10;
constexpr std::size_t kPipe = std::size_t{1} << 20;            // what everybody may have
constexpr std::uint64_t kMostAtOnce = std::uint64_t{4} << 20;  // deadlines are looked at between

// Neither call has a flag against SIGPIPE. It is sent to the thread that calls, so it is kept from
// that one and taken back.
class NoSigPipe {
 public:
  NoSigPipe() noexcept {
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    sigemptyset(&set_);
    sigaddset(&set_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set_, &before_);
  }
  ~NoSigPipe() {
    int const error = errno;
    if (!was_pending_) {  // also beside a success: of some bytes
      timespec const at_once{0, 0};
      while (sigtimedwait(&set_, nullptr, &at_once) < 0 && errno == EINTR) {
      }
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    errno = error;
  }
  NoSigPipe(const NoSigPipe&) = delete;
  NoSigPipe& operator=(const NoSigPipe&) = delete;

 private:
  sigset_t set_{};
  sigset_t before_{};
  bool was_pending_ = false;
};

struct Portion {
  int other;  // the file, or an end of the pipe
  std::size_t size;
};

long call_sendfile(void* raw, int fd) noexcept {
  auto const& portion = *static_cast<Portion*>(raw);
  NoSigPipe const quiet;
  return sendfile(fd, portion.other, nullptr, portion.size);
}

long call_into_pipe(void* raw, int fd) noexcept {
  auto const& portion = *static_cast<Portion*>(raw);
  return splice(fd, nullptr, portion.other, nullptr, portion.size,
                SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
}

long call_from_pipe(void* raw, int fd) noexcept {
  auto const& portion = *static_cast<Portion*>(raw);
  NoSigPipe const quiet;
  return splice(portion.other, nullptr, fd, nullptr, portion.size,
                SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
}

bool cannot(std::error_code error) noexcept {
  return error == std::errc::invalid_argument || error == std::errc::function_not_supported ||
         error == std::errc::operation_not_supported || error == std::errc::operation_not_permitted;
}

[[noreturn]] void fail_copy(std::error_code error, std::uint64_t moved) {
  throw Error(error, "copy", moved);
}

// In its turn with other readers, or writers, of the descriptor.
long move(NetDescriptor* d, bool writes, hamgam::detail::NetCall call, Portion& portion,
          std::error_code& error) {
  if (d == nullptr) {
    error = make_error_code(Errc::closed);
    return -1;
  }
  NetLimit limit;
  auto& direction = writes ? d->write : d->read;
  Directed const directed(direction, limit);
  return operate(*d, direction, call, &portion, limit, error);
}

}  // namespace

std::uint64_t copy_file(int file, const StreamHandle& sink, std::uint64_t most) {
  std::uint64_t moved = 0;
  std::error_code error;
  while (moved < most) {
    Portion portion{file, static_cast<std::size_t>(std::min(most - moved, kMostAtOnce))};
    long const count = move(sink.d_, true, &call_sendfile, portion, error);
    if (error && cannot(error)) {
      break;  // no such file, as a pipe or a terminal is none
    }
    if (error) {
      fail_copy(error, moved);
    }
    if (count == 0) {
      return moved;
    }
    moved += static_cast<std::uint64_t>(count);
  }
  auto const buffer = std::make_unique<std::array<std::byte, kBuffer>>();
  while (moved < most) {
    auto const size = static_cast<std::size_t>(std::min<std::uint64_t>(most - moved, kBuffer));
    ssize_t got = -1;
    int failure = 0;
    do {
      blocking([&] {
        got = ::read(file, buffer->data(), size);
        failure = errno;
      });
    } while (got < 0 && failure == EINTR);
    if (got < 0 && failure == EAGAIN) {
      (void)net::wait_readable(file);
      continue;
    }
    if (got < 0) {
      fail_copy(system_code(failure), moved);
    }
    if (got == 0) {
      break;
    }
    moved += sink.write_all(std::span(*buffer).first(static_cast<std::size_t>(got)), error);
    if (error) {
      fail_copy(error, moved);
    }
  }
  return moved;
}

std::uint64_t copy_stream(const StreamHandle& source, const StreamHandle& sink) {
  std::uint64_t moved = 0;
  std::error_code error;
  int ends[2] = {-1, -1};
  {
    TsanIgnore const unseen;
    (void)!pipe2(ends, O_CLOEXEC | O_NONBLOCK);  // without one: by the buffer
  }
  OwnNumber const out(ends[0]);
  OwnNumber const in(ends[1]);
  if (in.get() >= 0) {
    (void)fcntl(in.get(), F_SETPIPE_SZ, static_cast<int>(kPipe));
  }
  while (in.get() >= 0) {
    Portion portion{in.get(), kPipe};
    long const count = move(source.d_, false, &call_into_pipe, portion, error);
    if (error && cannot(error)) {
      break;
    }
    if (error) {
      fail_copy(error, moved);
    }
    if (count == 0) {
      return moved;
    }
    Portion rest{out.get(), static_cast<std::size_t>(count)};
    while (rest.size > 0) {
      long const gone = move(sink.d_, true, &call_from_pipe, rest, error);
      if (error) {
        fail_copy(error, moved);
      }
      moved += static_cast<std::uint64_t>(gone);
      rest.size -= static_cast<std::size_t>(gone);
    }
  }
  auto const buffer = std::make_unique<std::array<std::byte, kBuffer>>();
  for (;;) {
    std::size_t const got = source.read_some(*buffer, error);
    if (got > 0 && !error) {
      moved += sink.write_all(std::span(*buffer).first(got), error);
    }
    if (error) {
      fail_copy(error, moved);
    }
    if (got == 0) {
      return moved;
    }
  }
}

}  // namespace hamgam::inline HAMGAM_ABI::net::detail
