// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// Has exit() called us? It destroys the calling thread's thread_locals first, then calls handlers,
// the latest first, which are destructors of static objects among others. False also where the
// stack cannot tell (a program that is linked statically against a stripped C library).
bool inside_exit() noexcept;

// exit() calls the handler with the status, before all that are registered already.
void register_exit_handler(void (*handler)(int status, void* unused)) noexcept;

// Writes out what stdio holds back. It waits for who reads the output, but for no more than a
// second for who has a stream's lock.
void flush_streams() noexcept;

int process_id() noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
