// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "os/asleep.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

// Bits of /proc/PID/pagemap.
constexpr std::uint64_t kPresent = std::uint64_t{1} << 63;
constexpr std::uint64_t kSwapped = std::uint64_t{1} << 62;
constexpr std::uint64_t kFileOrShared = std::uint64_t{1} << 61;

// No other process has the memory at that address. (/proc/self tells nothing of memory once the
// first thread has ended.)
bool is_private(std::uint64_t address) noexcept {
  static long const kPage = sysconf(_SC_PAGESIZE);
  int const file = open("/proc/thread-self/pagemap", O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    return false;
  }
  std::uint64_t page = 0;
  auto const place = address / static_cast<std::uint64_t>(kPage) * sizeof page;
  bool const known =
      pread(file, &page, sizeof page, static_cast<off_t>(place)) == ssize_t{sizeof page};
  close(file);
  return known && (page & (kPresent | kSwapped)) != 0 && (page & kFileOrShared) == 0;
}

}  // namespace

bool sleeps_until_woken(int id) noexcept {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/self/task/%d/syscall", id);
  int const file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    return false;
  }
  char text[256];
  ssize_t const length = read(file, text, sizeof text - 1);
  close(file);
  text[std::max<ssize_t>(length, 0)] = '\0';
  // "202 0x7f3c5c0008d0 0x189 0x0 0x0 ...": the call's number and arguments; else "running", or
  // "-1 SP PC" for one that sleeps outside of calls, with zeros where the first thread has ended
  // before others.
  long call = 0;
  unsigned long word = 1;
  unsigned long operation = 1;
  unsigned long expected = 0;
  unsigned long limit = 0;
  int const found =
      std::sscanf(text, "%ld %lx %lx %lx %lx", &call, &word, &operation, &expected, &limit);
  if (found == 3 && call == -1 && word == 0 && operation == 0) {
    return true;
  }
  if (found != 5 || call != SYS_futex || limit != 0) {
    return false;
  }
  auto const what = static_cast<unsigned>(operation);  // the lower half of a register
  unsigned const kind = what & static_cast<unsigned>(FUTEX_CMD_MASK);
  if (kind != FUTEX_WAIT && kind != FUTEX_WAIT_BITSET) {
    return false;
  }
  // The standard library's calls do not say that a word is private, nor does a join, whose word the
  // kernel clears.
  return (what & FUTEX_PRIVATE_FLAG) != 0 || is_private(word);
}

bool look_at_threads(bool (*look)(int id, void* argument), void* argument) noexcept {
  DIR* const threads = opendir("/proc/self/task");
  if (threads == nullptr) {
    return false;
  }
  bool goes_on = true;
  while (goes_on) {
    const dirent* const entry = readdir(threads);
    if (entry == nullptr) {
      break;
    }
    int const id = std::atoi(entry->d_name);
    goes_on = id == 0 || look(id, argument);  // 0: "." and ".."
  }
  closedir(threads);
  return goes_on;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
