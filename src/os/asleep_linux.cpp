// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "os/asleep.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

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

// What stands in that file of /proc/self/task/ID, "" if it can't be read.
template <std::size_t kSize>
void read_of_thread(int id, const char* name, char (&text)[kSize]) noexcept {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/self/task/%d/%s", id, name);
  int const file = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t const length = file >= 0 ? read(file, text, kSize - 1) : 0;
  text[std::max<ssize_t>(length, 0)] = '\0';
  if (file >= 0) {
    close(file);
  }
}

// R: it runs; S: it sleeps and a signal would end that; D: no signal would; Z: it has ended.
char state_of(int id) noexcept {
  char text[128];
  read_of_thread(id, "stat", text);  // "1 (name) S 2 3 ..."
  const char* const name_end = std::strrchr(text, ')');
  return name_end != nullptr && name_end[1] == ' ' ? name_end[2] : '\0';
}

}  // namespace

// One in D waits for a page of the word, perhaps, and will look at it then.
bool sleeps_until_woken(int id) noexcept {
  if (char const state = state_of(id); state != 'S') {
    return state == 'Z';
  }
  char text[256];
  read_of_thread(id, "syscall", text);
  // "202 0x7f3c5c0008d0 0x189 0x0 0x0 ...": the call's number and arguments.
  long call = -1;
  unsigned long word = 0;
  unsigned long operation = 0;
  unsigned long expected = 0;
  unsigned long limit = 0;
  if (std::sscanf(text, "%ld %lx %lx %lx %lx", &call, &word, &operation, &expected, &limit) != 5 ||
      call != SYS_futex || limit != 0) {
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

// What a thread waits for is not told to everybody (no file of a process that has dropped its
// privileges), but whether it runs is. An emulator's numbers of calls are not ours: then it is no
// write.
bool is_writing(int id) noexcept {
  char const state = state_of(id);
  if (state != 'S') {
    return state == 'R' || state == 'D';
  }
  char text[256];
  read_of_thread(id, "syscall", text);
  long call = -1;
  return std::sscanf(text, "%ld", &call) == 1 && (call == SYS_write || call == SYS_writev);
}

bool look_at_threads(bool (*look)(int id, void* argument), void* argument) noexcept {
  DIR* const threads = opendir("/proc/self/task");
  if (threads == nullptr) {
    return false;
  }
  bool goes_on = true;
  errno = 0;
  for (const dirent* entry = nullptr; goes_on && (entry = readdir(threads)) != nullptr;) {
    int const id = std::atoi(entry->d_name);
    goes_on = id == 0 || look(id, argument);  // 0: "." and ".."
    errno = 0;
  }
  bool const failed = errno != 0;
  closedir(threads);
  return goes_on && !failed;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
