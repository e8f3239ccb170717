// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// Has the thread ended, or is it asleep until another one of this process wakes it, or ends? So it
// is in a wait of futex(2) without a time limit, on a word that no other process has. The handler
// of a signal might end that, too. False also where /proc does not tell.
bool sleeps_until_woken(int id) noexcept;

// It runs, or waits for who reads what it writes. False also where /proc does not tell.
bool is_writing(int id) noexcept;

// Calls look(id, argument) for each thread of this process, in the same order as long as none
// begins or ends, until it returns false. False: it did, or /proc does not tell. Asks malloc for
// memory.
bool look_at_threads(bool (*look)(int id, void* argument), void* argument) noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
