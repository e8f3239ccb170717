// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// How many descriptors this process has open.

#include <dirent.h>

namespace hamgam::test {

inline int open_descriptors() {
  int count = -3;  // . and .., and the folder itself
  DIR* const folder = opendir("/proc/self/fd");
  while (readdir(folder) != nullptr) {
    ++count;
  }
  closedir(folder);
  return count;
}

}  // namespace hamgam::test
