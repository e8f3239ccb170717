// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// How many descriptors this process has open.

#include <dirent.h>

#include <algorithm>
#include <chrono>
#include <thread>

namespace hamgam::test {

inline int descriptors_now() {
  int count = -3;  // . and .., and the folder itself
  DIR* const folder = opendir("/proc/self/fd");
  while (readdir(folder) != nullptr) {
    ++count;
  }
  closedir(folder);
  return count;
}

// The least of some looks: the library's monitor and an emulator have files open for a moment.
inline int open_descriptors() {
  int least = descriptors_now();
  for (int i = 0; i < 5; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    least = std::min(least, descriptors_now());
  }
  return least;
}

}  // namespace hamgam::test
