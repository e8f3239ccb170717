// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "base/fatal.h"

#include <cstdio>
#include <cstdlib>

#include "hamgam/detail/atomic.h"
#include "hamgam/panic.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {
atomic<FatalDump> g_dump{nullptr};
}  // namespace

void set_fatal_dump(FatalDump dump) noexcept {
  g_dump.store(dump, kRelease);  // [fatal.1] release, pairs with [fatal.2]
}

void fatal(const char* text) noexcept {
  // [fatal.2] acquire, pairs with [fatal.1]: what the dump function reads is initialised.
  if (FatalDump dump = g_dump.load(kAcquire)) {
    dump(text);
  } else {
    std::fprintf(stderr, "fatal error: %s\n", text);
  }
  std::abort();
}

void throw_panic(const char* text) { throw Panic(text); }

}  // namespace hamgam::inline HAMGAM_ABI::detail
