// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include "files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <system_error>

#include "words.h"

namespace wordfreq {
namespace {

constexpr std::size_t kBinaryProbe = 8 * 1024;
constexpr std::size_t kMore = 4096;  // read at a time to find the end of a chunk's last word

[[noreturn]] void fail(int error) { throw std::system_error(error, std::generic_category()); }

// Makes room for `more` bytes after the first `used`.
std::span<char> room(Buffer& buffer, std::size_t used, std::size_t more) {
  if (buffer.size() < used + more) {
    buffer.resize(std::max(used + more, used * 2));
  }
  return std::span(buffer).subspan(used, more);
}

// The names in a directory, without "." and "..".
std::vector<std::string> list(const std::string& directory) {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(directory.c_str()), closedir);
  if (dir == nullptr) {
    fail(errno);
  }
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(dir.get());
    if (entry == nullptr) {
      break;
    }
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") {
      names.emplace_back(name);
    }
  }
  if (errno != 0) {
    fail(errno);
  }
  return names;
}

// What was read from standard input.
int g_standard_input = -1;
constexpr std::string_view kStandardInput = "-";

int open_to_read(const std::string& path) {
  if (path == kStandardInput) {
    return fcntl(g_standard_input, F_DUPFD_CLOEXEC, 0);
  }
  // Non-blocking, so that a pipe that took the file's place meanwhile cannot hold us up.
  return open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
}

}  // namespace

void keep_standard_input() {
  g_standard_input = memfd_create("standard input", MFD_CLOEXEC);
  if (g_standard_input < 0) {
    fail(errno);
  }
  std::vector<char> buffer(kChunk);
  for (;;) {
    const ssize_t n = read(STDIN_FILENO, buffer.data(), buffer.size());
    if (n == 0) {
      return;
    }
    if (n < 0 && errno == EINTR) {
      continue;
    }
    for (ssize_t done = 0; done < n;) {
      const ssize_t written = write(g_standard_input, &buffer[static_cast<std::size_t>(done)],
                                    static_cast<std::size_t>(n - done));
      if (written < 0) {
        fail(errno);
      }
      done += written;
    }
    if (n < 0) {
      fail(errno);
    }
  }
}

void walk(const std::vector<std::string>& paths, const Visitor& visit) {
  std::vector<std::string> todo(paths.rbegin(), paths.rend());  // a stack: no recursion
  while (!todo.empty() && !visit.stopped()) {
    std::string path = std::move(todo.back());
    todo.pop_back();
    try {
      struct stat info {};
      const int status =
          path == kStandardInput ? fstat(g_standard_input, &info) : lstat(path.c_str(), &info);
      if (status != 0) {
        fail(errno);
      }
      if (S_ISLNK(info.st_mode)) {
        visit.link(path);
      } else if (S_ISREG(info.st_mode)) {
        visit.file(std::move(path), static_cast<std::uint64_t>(info.st_size));
      } else if (S_ISDIR(info.st_mode)) {
        const std::string prefix = path.ends_with('/') ? path : path + '/';
        for (const auto& name : list(path)) {
          todo.push_back(prefix + name);
        }
      } else {
        visit.special(path);
      }
    } catch (const std::system_error& error) {
      visit.failed(path, error.what());
    }
  }
}

File::File(std::string path) : path_(std::move(path)), fd_(open_to_read(path_)) {
  if (fd_ < 0) {
    fail(errno);
  }
  struct stat info {};
  const int error = fstat(fd_, &info) != 0 ? errno : S_ISREG(info.st_mode) ? 0 : EINVAL;
  if (error != 0) {
    close(fd_);
    fail(error);
  }
  size_ = static_cast<std::uint64_t>(info.st_size);
}

File::~File() { close(fd_); }

// No hamgam::blocking here: a read from the page cache takes some microseconds, and to hand the
// worker over each time made counting many small files slower. The runtime notices a read
// that does wait for a disk.
std::size_t File::read(std::uint64_t offset, std::span<char> into) const {
  std::size_t done = 0;
  while (done < into.size()) {
    const ssize_t n =
        pread(fd_, &into[done], into.size() - done, static_cast<off_t>(offset + done));
    if (n == 0) {
      break;
    }
    if (n > 0) {
      done += static_cast<std::size_t>(n);
    } else if (errno != EINTR) {
      fail(errno);
    }
  }
  return done;
}

bool File::binary() const {
  std::array<char, kBinaryProbe> head;
  const std::size_t n = read(0, head);
  return std::memchr(head.data(), 0, n) != nullptr;
}

Text read_chunk(const File& file, std::uint64_t offset, Buffer& buffer) {
  // One byte more at the front: if it is a separator, a word of this chunk begins right after it.
  const std::uint64_t start = offset == 0 ? 0 : offset - 1;
  const std::uint64_t stop = offset + kChunk;
  const bool last = stop >= file.size();

  const std::size_t own = stop - start;
  std::size_t got = file.read(start, room(buffer, 0, own));
  bool ended = got < own;
  Text text;
  text.cut_short = start + got < std::min(stop, file.size());
  text.bytes = start + got - std::min(offset, start + got);

  const std::size_t begin = offset == 0 ? 0 : find_separator({buffer.data(), got}, 0) + 1;
  if (begin > got) {
    return text;  // all of it is inside a word that began in an earlier chunk
  }
  std::size_t end = last ? SIZE_MAX : find_separator({buffer.data(), got}, own - 1) + 1;
  while (end > got && !ended) {
    const auto into = room(buffer, got, std::max<std::size_t>(got / 2, kMore));
    const std::size_t from = got;
    got += file.read(start + got, into);
    ended = got < from + into.size();
    if (last) {
      text.bytes += got - from;
    } else {
      end = find_separator({buffer.data(), got}, from) + 1;
    }
  }
  text.words = std::span(buffer).subspan(begin, std::min(end, got) - begin);
  return text;
}

void read_all(const File& file, Buffer& buffer, const std::function<bool(Text)>& use) {
  std::uint64_t offset = 0;
  std::size_t kept = 0;  // the begin of a word that the last piece ended with
  for (bool ended = false; !ended;) {
    const std::size_t n = file.read(offset, room(buffer, kept, kChunk));
    offset += n;
    ended = n < kChunk;

    std::size_t end = kept + n;
    while (!ended && end > 0 && !is_separator(buffer[end - 1])) {
      end = end > kept ? end - 1 : 0;  // what was kept has no separator
    }
    if (!use({std::span(buffer).first(end), n, ended && offset < file.size()})) {
      return;
    }
    std::copy(buffer.begin() + static_cast<std::ptrdiff_t>(end),
              buffer.begin() + static_cast<std::ptrdiff_t>(kept + n), buffer.begin());
    kept = kept + n - end;
  }
}

}  // namespace wordfreq
