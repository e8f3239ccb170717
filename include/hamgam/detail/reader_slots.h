// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// What RWMutex's inline read path needs of the readers' slots (src/sync/reader_slots.h).

#include <cstddef>
#include <cstdint>

#include "hamgam/detail/atomic.h"
#include "hamgam/detail/config.h"
#include "hamgam/detail/light_barrier.h"

namespace hamgam::inline HAMGAM_ABI::detail {

inline constexpr std::size_t kReaderSlots = 8;

// The slots of one thread, a worker's or a plain one. A slot that holds a lock's address stands for
// one reader of that lock, no matter which goroutine it is and where it runs now. Thread safety:
// the owning thread writes slots, and a writer that knows that nobody reads any more empties those
// that were left over; any thread reads them. `watched` is changed by writers that wait for
// readers, from any thread.
struct alignas(128) ReaderRow {
  atomic<const void*> held[kReaderSlots] = {};
  atomic<std::uint32_t> watched{0};  // writers that want to be told of a slot that becomes empty
  ReaderRow* next = nullptr;         // in the list of all; set before it is published
};

// The calling thread's row; one whose slots are all taken if it has none yet. Never keep it over a
// park.
#if defined(__x86_64__)
HAMGAM_INLINE ReaderRow* reader_row() noexcept {
  ReaderRow* row;
  asm volatile(
      "movq hamgam_reader_row@gottpoff(%%rip), %0\n\t"
      "movq %%fs:(%0), %0"
      : "=r"(row));
  return row;
}
#else
HAMGAM_API HAMGAM_NOINLINE ReaderRow* reader_row() noexcept;
#endif

// Which slot of a row a lock's readers try first.
HAMGAM_INLINE std::size_t slot_index(const void* lock) noexcept {
  return (reinterpret_cast<std::uintptr_t>(lock) >> 4) % kReaderSlots;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
