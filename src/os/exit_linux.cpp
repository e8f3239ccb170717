// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <unistd.h>
#include <unwind.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "hamgam/detail/atomic.h"
#include "os/clock.h"
#include "os/exit.h"
#include "os/futex.h"
#include "os/thread.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

_Unwind_Reason_Code find_exit(_Unwind_Context* context, void* found) {
  if (_Unwind_GetRegionStart(context) != reinterpret_cast<std::uintptr_t>(&std::exit)) {
    return _URC_NO_REASON;
  }
  *static_cast<bool*>(found) = true;
  return _URC_END_OF_STACK;
}

}  // namespace

bool inside_exit() noexcept {
  bool found = false;
  _Unwind_Backtrace(&find_exit, &found);
  return found;
}

void register_exit_handler(void (*handler)(int status, void* unused)) noexcept {
  (void)on_exit(handler, nullptr);  // without memory for it there is none
}

// Who reads a stream has its lock while he waits, and fflush(nullptr) waits for every lock. So
// where somebody reads standard input, which comes last, that is done on a thread of its own, for a
// second.
void end_process(int status) noexcept {
  static constinit atomic<std::uint32_t> flushed{0};  // relaxed throughout: it guards nothing
  auto const flush = [](void*) {
    std::fflush(nullptr);
    flushed.store(1, kRelaxed);
    futex_wake(flushed);
  };
  bool const is_read = ftrylockfile(stdin) != 0;
  if (!is_read) {
    funlockfile(stdin);
  } else if (ftrylockfile(stdout) == 0) {
    std::fflush(stdout);  // waits for its reader, as ever
    funlockfile(stdout);
  }
  if (is_read && start_thread("hamgam exit", flush, nullptr, Signals::kFaults)) {
    constexpr Nanos kPatience = 1000 * kMillisecond;
    for (Nanos const end = now() + kPatience; flushed.load(kRelaxed) == 0 && now() < end;) {
      futex_wait(flushed, 0, end);
    }
  } else {
    std::fflush(nullptr);
  }
  std::_Exit(status);
}

int process_id() noexcept { return getpid(); }

}  // namespace hamgam::inline HAMGAM_ABI::detail
