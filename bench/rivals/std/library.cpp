// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include <gnu/libc-version.h>

#include <string>

#include "../../harness/case.h"

bench::Library bench::library() {
  static const std::string version =
      "libstdc++ " + std::to_string(_GLIBCXX_RELEASE) + ", glibc " + gnu_get_libc_version();
  return {"std", version.c_str()};
}
