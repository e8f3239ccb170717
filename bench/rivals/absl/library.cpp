// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include <absl/base/config.h>

#include <string>

#include "../../harness/case.h"

bench::Library bench::library() {
#ifdef ABSL_LTS_RELEASE_VERSION
  static const std::string version = std::to_string(ABSL_LTS_RELEASE_VERSION);
#else
  static const std::string version = "head";
#endif
  return {"absl", version.c_str()};
}
