// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <utility>

#include "hamgam/go.h"
#include "hamgam/time.h"
#include "hamgam/waitgroup.h"
#include "net/number.h"
#include "net/shared.h"
#include "os/no_sigpipe.h"
#include "wait/stop.h"

namespace hamgam::inline HAMGAM_ABI::file {

using hamgam::detail::kNoDeadline;
using hamgam::detail::TsanIgnore;
using hamgam::detail::TsanNoEdges;
using net::OwnNumber;
using net::system_code;

namespace {

constexpr std::size_t kLeast = std::size_t{4} << 10;
constexpr std::size_t kMostAtOnce = std::size_t{1} << 30;

struct Failure {
  const char* step = "";
  int error = 0;
};

[[noreturn]] void fail(const Failure& failure, const std::filesystem::path& path) {
  throw std::system_error(system_code(failure.error),
                          std::string(failure.step) + " " + path.string());
}

int open_file(const std::filesystem::path& path, int flags) noexcept {
  if (path.native().find('\0') != std::string::npos) {  // it would be another file
    errno = EINVAL;
    return -1;
  }
  int fd = -1;
  do {
    fd = ::open(path.c_str(), flags | O_CLOEXEC | O_NOCTTY, 0666);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

// Room for all of it and a byte more, so that the end is found without making more.
std::size_t first_room(int fd) noexcept {
  struct stat status {};
  bool const known = fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0;
  return known ? static_cast<std::size_t>(status.st_size) + 1 : kLeast;
}

void make_room(std::string& text, std::size_t size) {
  if (size > text.max_size()) {  // a sparse file may be as large as that
    throw std::bad_alloc();
  }
  text.resize(size);
}

Failure read_file(const std::filesystem::path& path, std::string& text) {
  TsanIgnore const unseen;
  TsanNoEdges const no_edges;
  text.clear();
  OwnNumber const file(open_file(path, O_RDONLY));
  if (file.get() < 0) {
    return {"open", errno};
  }
  Failure failure;
  std::size_t size = 0;
  make_room(text, first_room(file.get()));
  for (;;) {
    if (size == text.size()) {
      make_room(text, 2 * size);
    }
    ssize_t const got =
        ::read(file.get(), text.data() + size, std::min(text.size() - size, kMostAtOnce));
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      failure = {"read", errno};
    }
    if (got <= 0) {
      break;
    }
    size += static_cast<std::size_t>(got);
  }
  text.resize(size);
  return failure;
}

Failure write_file(const std::filesystem::path& path, std::span<const std::byte> bytes,
                   std::size_t& written) {
  TsanIgnore const unseen;
  TsanNoEdges const no_edges;
  written = 0;
  int const fd = open_file(path, O_WRONLY | O_CREAT | O_TRUNC);
  if (fd < 0) {
    return {"open", errno};
  }
  Failure failure;
  while (written < bytes.size() && failure.error == 0) {
    hamgam::detail::NoSigPipe const quiet;  // it may be a named pipe
    ssize_t const put =
        ::write(fd, bytes.data() + written, std::min(bytes.size() - written, kMostAtOnce));
    if (put > 0) {
      written += static_cast<std::size_t>(put);
    } else if (put == 0 || errno != EINTR) {
      failure = {"write", put == 0 ? EIO : errno};
    }
  }
  // Some file systems tell only now that there is no room.
  if (::close(fd) != 0 && errno != EINTR && failure.error == 0) {
    failure = {"close", errno};
  }
  return failure;
}

// What a reading that may be given up needs, until it is over.
struct Reading {
  explicit Reading(const std::filesystem::path& p) : path(p) { over.add(); }
  const std::filesystem::path path;
  std::string text;
  Failure failure;
  bool no_memory = false;
  WaitGroup over;
};

}  // namespace

std::string read_all(const std::filesystem::path& path) {
  std::string text;
  Failure const failure = blocking([&] { return read_file(path, text); });
  if (failure.error != 0) {
    fail(failure, path);
  }
  return text;
}

std::string read_all(const std::filesystem::path& path, std::error_code& e) {
  std::string text;
  e = system_code(blocking([&] { return read_file(path, text); }).error);
  return text;
}

std::optional<std::string> detail::read_limited(const std::filesystem::path& path,
                                                std::int64_t deadline,
                                                const std::stop_token* token) {
  // Else it would be read for nobody, and what is read of a pipe is gone.
  if (token != nullptr ? hamgam::detail::stop_requested(*token)
                       : deadline <= hamgam::detail::now()) {
    return std::nullopt;
  }
  net::Shared<Reading> const reading(std::in_place, path);
  go([reading] {
    blocking([&] {
      try {
        reading->failure = read_file(reading->path, reading->text);
      } catch (const std::bad_alloc&) {
        reading->no_memory = true;
      }
    });
    reading->over.done();
  });
  WaitGroup& over = reading->over;
  if (token != nullptr ? !over.wait(*token)
                       : !over.wait_until(TimePoint(std::chrono::nanoseconds(deadline)))) {
    return std::nullopt;
  }
  if (reading->no_memory) {
    throw std::bad_alloc();
  }
  if (reading->failure.error != 0) {
    fail(reading->failure, path);
  }
  return std::move(reading->text);
}

void write_all(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  std::size_t written = 0;
  Failure const failure = blocking([&] { return write_file(path, bytes, written); });
  if (failure.error != 0) {
    fail(failure, path);
  }
}

std::size_t write_all(const std::filesystem::path& path, std::span<const std::byte> bytes,
                      std::error_code& e) {
  std::size_t written = 0;
  e = system_code(blocking([&] { return write_file(path, bytes, written); }).error);
  return written;
}

}  // namespace hamgam::inline HAMGAM_ABI::file
