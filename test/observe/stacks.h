// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// What tests of observe.h have in common.

#include <dlfcn.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "hamgam/observe.h"
#include "support/scale.h"
#include "support/until.h"

// A function that is to be seen in stacks. (A call that is the last thing it does would be a jump.)
#define HAMGAM_TEST_FRAME __attribute__((noinline, noclone))
#if defined(__clang__)
#undef HAMGAM_TEST_FRAME
#define HAMGAM_TEST_FRAME __attribute__((noinline))
#endif

namespace hamgam::test {

// Of goroutines that wait. Not where switches are made by ucontext, nor where the kernel, or an
// emulator, has no membarrier.
inline bool stacks_are_seen() {
#if defined(HAMGAM_CONTEXT_UCONTEXT)
  return false;
#elif defined(HAMGAM_TSAN)
  return true;
#else
  return syscall(SYS_membarrier, 0, 0, 0) > 0;
#endif
}

// Of those that run. ThreadSanitizer keeps signals back, and an emulator tells no frames of one.
inline bool running_ones_are_seen() {
#if defined(HAMGAM_TSAN) || !defined(DLFO_STRUCT_HAS_EH_DBASE)
  return false;
#else
  return !emulated();
#endif
}

inline bool stands_in(const observe::GoroutineInfo& info, std::string_view function) {
  return std::any_of(info.frames.begin(), info.frames.end(), [function](const auto& frame) {
    return frame.function.find(function) != std::string::npos;
  });
}

inline std::string text_of(const observe::GoroutineInfo& info) {
  std::string text = info.name + " [" + info.wait_reason + "]\n";
  for (const observe::Frame& frame : info.frames) {
    text += "  " + frame.function + " " + frame.where + "\n";
  }
  return text;
}

// The one with this name.
inline observe::GoroutineInfo named(std::string_view name) {
  for (observe::GoroutineInfo& info : observe::goroutines()) {
    if (info.name == name) {
      return info;
    }
  }
  return {};
}

inline int count_waiting(std::string_view reason) {
  int count = 0;
  for (const observe::GoroutineInfo& info : observe::goroutines()) {
    count += info.wait_reason == reason ? 1 : 0;
  }
  return count;
}

// Until the goroutine of that name waits for that.
inline void await_waiting(std::string_view name, std::string_view reason) {
  until([&] {
    for (const observe::GoroutineInfo& info : observe::goroutines()) {
      if (info.name == name && info.wait_reason == reason) {
        return true;
      }
    }
    return false;
  });
}

}  // namespace hamgam::test
