// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// How many descriptors this process has open.

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <string>
#include <string_view>
#include <thread>

#include "hamgam/net.h"

namespace hamgam::test {

// Calls f with what each of them stands for, as the kernel names it.
template <class F>
void for_each_descriptor(F f) {
  DIR* const folder = opendir("/proc/self/fd");
  while (const dirent* const entry = readdir(folder)) {
    std::array<char, 64> text{};
    std::string const path = std::string("/proc/self/fd/") + entry->d_name;
    if (readlink(path.c_str(), text.data(), text.size() - 1) > 0) {
      f(std::string_view(text.data()));
    }
  }
  closedir(folder);
}

// But for those of /proc: besides that folder, the library's monitor has some open for a moment.
inline int descriptors_now() {
  int count = 0;
  for_each_descriptor([&](std::string_view name) { count += name.starts_with("/proc/") ? 0 : 1; });
  return count;
}

// The least of some looks: an emulator has files open for a moment.
inline int open_descriptors() {
  int least = descriptors_now();
  for (int i = 0; i < 5; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    least = std::min(least, descriptors_now());
  }
  return least;
}

inline bool has_poller() {
  bool found = false;
  for_each_descriptor([&](std::string_view name) { found |= name == "anon_inode:[eventpoll]"; });
  return found;
}

// The first wait makes the poller open what it has itself; but for one whose time is over before it
// comes to that.
inline void open_poller() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) == 0) {
    while (!has_poller()) {
      (void)net::wait_readable_for(ends[0], std::chrono::milliseconds(1));
    }
    close(ends[0]);
    close(ends[1]);
  }
}

}  // namespace hamgam::test
