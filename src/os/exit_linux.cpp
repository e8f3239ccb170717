// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <dlfcn.h>
#include <unistd.h>
#include <unwind.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "hamgam/detail/atomic.h"
#include "os/asleep.h"
#include "os/clock.h"
#include "os/exit.h"
#include "os/futex.h"
#include "os/thread.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

// exit, where the C library has it. Asked for at the start, as that takes a lock of the dynamic
// linker's, which who unloads a library has while he waits for a thread to end.
std::uintptr_t g_exit = 0;
[[gnu::constructor]] void find_exit_function() noexcept {
  g_exit = reinterpret_cast<std::uintptr_t>(dlsym(RTLD_NEXT, "exit"));
}

struct Search {
  std::uintptr_t where;
  std::uintptr_t or_where;
  bool found = false;
};

_Unwind_Reason_Code find_exit(_Unwind_Context* context, void* raw) {
  auto& search = *static_cast<Search*>(raw);
  std::uintptr_t const start = _Unwind_GetRegionStart(context);
  search.found = start == search.where || start == search.or_where;
  return search.found ? _URC_END_OF_STACK : _URC_NO_REASON;
}

}  // namespace

// Where a program that is not position-independent takes the function's address, that is the one of
// a stub of its own: for us, too.
bool inside_exit() noexcept {
  auto const exit_address = reinterpret_cast<std::uintptr_t>(&std::exit);
  Search search{exit_address, g_exit != 0 ? g_exit : exit_address};
  _Unwind_Backtrace(&find_exit, &search);
  return search.found;
}

void register_exit_handler(void (*handler)(int status, void* unused)) noexcept {
  (void)on_exit(handler, nullptr);  // without memory for it there is none
}

// Who reads a stream has its lock while he waits, as has a goroutine that was stopped while it
// printed, and fflush(nullptr) waits for every lock. So standard output is written first, then all
// that can be on a thread of its own. If that waits for a slow reader it is waited for, as ever; if
// it waits for a lock, for a second.
void flush_streams() noexcept {
  static constinit atomic<std::uint32_t> flushed{0};  // relaxed throughout: they guard nothing
  static constinit atomic<int> flusher{0};
  auto const flush = [](void*) {
    flusher.store(thread_id(), kRelaxed);
    std::fflush(nullptr);
    flushed.store(1, kRelaxed);
    futex_wake(flushed);
  };
  if (ftrylockfile(stdout) == 0) {
    std::fflush(stdout);
    funlockfile(stdout);
  }
  if (start_thread("hamgam-exit", flush, nullptr, Signals::kFaults)) {
    constexpr Nanos kPatience = 1000 * kMillisecond;
    constexpr Nanos kLook = 100 * kMillisecond;
    for (Nanos end = now() + kPatience; flushed.load(kRelaxed) == 0 && now() < end;) {
      futex_wait(flushed, 0, now() + kLook);
      int const id = flusher.load(kRelaxed);
      if (id == 0 || is_writing(id)) {
        end = now() + kPatience;
      }
    }
  } else if (ftrylockfile(stdin) == 0) {  // of others' locks nobody knows
    funlockfile(stdin);
    std::fflush(nullptr);
  }
}

int process_id() noexcept { return getpid(); }

}  // namespace hamgam::inline HAMGAM_ABI::detail
