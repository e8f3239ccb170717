// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Where readers of all RWMutexes announce themselves: a row of slots for each thread. Rows are made
// when a thread first needs one, outlive the thread and are given to later ones; they are never
// freed, so a writer may read them at any time.

#include <cstdint>

#include "hamgam/detail/reader_slots.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// The calling thread's row, made if need be; null if there is no memory or the thread is about to
// end.
ReaderRow* own_reader_row() noexcept;

// The newest row; the others follow by next. Every row is in there before its first slot is filled.
ReaderRow* reader_rows() noexcept;

// Between what a writer writes for readers in slots to see and what it reads of their slots: pairs
// with light_barrier().
void fence_readers() noexcept;

// How many slots of these rows hold the lock.
std::int64_t count_readers(const ReaderRow* rows, const void* lock) noexcept;

// Empties the slots that hold the lock. For whoever knows that nobody is inside and nobody can come
// in.
void sweep_readers(ReaderRow* rows, const void* lock) noexcept;

// Adds to `watched` of these rows.
void watch_readers(ReaderRow* rows, std::uint32_t change) noexcept;

// Whether readers may use slots at all: not without a heavy barrier. For tests, it can be switched
// off, and so can the pause that follows a revocation.
bool reader_slots_enabled() noexcept;
HAMGAM_API void enable_reader_slots(bool on) noexcept;
std::int64_t reader_slots_pause(std::int64_t fence_cost) noexcept;
HAMGAM_API void set_reader_slots_pause(int factor) noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
