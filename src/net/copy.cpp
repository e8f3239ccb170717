// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
//
// Bytes that go from one place to another without a visit here, where the kernel can do that: from
// a file by sendfile, from a socket through a pipe by splice. Where it can't, by a buffer. Whatever
// ends it, want of memory too, tells the bytes that the sink has taken.
#include <fcntl.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <new>

#include "hamgam/go.h"
#include "net/number.h"
#include "os/no_sigpipe.h"

namespace hamgam::inline HAMGAM_ABI::net::detail {

using hamgam::detail::operate;
using hamgam::detail::TsanIgnore;

namespace {

constexpr std::size_t kBuffer = std::size_t{64} << 10;
constexpr std::size_t kPipe = std::size_t{1} << 20;            // what everybody may have
constexpr std::uint64_t kMostAtOnce = std::uint64_t{4} << 20;  // deadlines are looked at between

struct Portion {
  int other;  // the file, or an end of the pipe
  std::size_t size;
};

long call_sendfile(void* raw, int fd) noexcept {
  auto const& portion = *static_cast<Portion*>(raw);
  hamgam::detail::NoSigPipe const quiet;
  stay_nonblocking(fd);
  return sendfile(fd, portion.other, nullptr, portion.size);
}

long call_into_pipe(void* raw, int fd) noexcept {
  auto const& portion = *static_cast<Portion*>(raw);
  stay_nonblocking(fd);  // SPLICE_F_NONBLOCK is for the pipe
  return splice(fd, nullptr, portion.other, nullptr, portion.size,
                SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
}

long call_from_pipe(void* raw, int fd) noexcept {
  auto const& portion = *static_cast<Portion*>(raw);
  hamgam::detail::NoSigPipe const quiet;
  stay_nonblocking(fd);
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
  try {
    NetLimit limit;
    auto& direction = writes ? d->write : d->read;
    Directed const directed(direction, limit);
    return operate(*d, direction, call, &portion, limit, error);
  } catch (const std::bad_alloc&) {  // for a timer
    error = std::make_error_code(std::errc::not_enough_memory);
    return -1;
  }
}

// Until there is something in the file, which is a pipe or a terminal that does not block.
void await_file(int file, std::error_code& error) {
  try {
    NetLimit limit;
    (void)hamgam::detail::wait_foreign(file, false, limit, error);
  } catch (const std::bad_alloc&) {
    error = std::make_error_code(std::errc::not_enough_memory);
  }
}

using Buffer = std::unique_ptr<std::array<std::byte, kBuffer>>;

Buffer make_buffer(std::uint64_t moved) {
  Buffer buffer(new (std::nothrow) std::array<std::byte, kBuffer>);
  if (buffer == nullptr) {
    fail_copy(std::make_error_code(std::errc::not_enough_memory), moved);
  }
  return buffer;
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
  Buffer const buffer = make_buffer(moved);
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
      await_file(file, error);
      if (error) {
        fail_copy(error, moved);
      }
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
  Buffer const buffer = make_buffer(moved);
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
