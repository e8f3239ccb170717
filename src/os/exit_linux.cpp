// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <unistd.h>
#include <unwind.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "os/exit.h"

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

void end_process(int status) noexcept {
  std::fflush(nullptr);
  std::_Exit(status);
}

int process_id() noexcept { return getpid(); }

}  // namespace hamgam::inline HAMGAM_ABI::detail
