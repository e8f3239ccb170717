// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <memory>

#include "os/mappings.h"

namespace hamgam::inline HAMGAM_ABI::detail {

std::vector<Mapping> code_mappings() {
  struct Close {
    void operator()(std::FILE* file) const noexcept { (void)std::fclose(file); }
  };
  std::vector<Mapping> all;
  std::unique_ptr<std::FILE, Close> const maps(std::fopen("/proc/self/maps", "re"));
  char line[4096 + 128];
  while (maps != nullptr && std::fgets(line, sizeof line, maps.get()) != nullptr) {
    Mapping one{};
    char mode[5];
    int path = 0;
    // "55d0c0a00000-55d0c0a01000 r-xp 00001000 08:01 123   /path"
    if (std::sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %" SCNx64 " %*s %*s %n", &one.start,
                    &one.end, mode, &one.offset, &path) == 4 &&
        path != 0 && mode[2] == 'x' && line[path] == '/') {
      one.file.assign(line + path, std::strcspn(line + path, "\n"));
      all.push_back(std::move(one));
    }
  }
  return all;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
