// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sync/reader_slots.h"

#include <mutex>
#include <new>

#include "base/own_memory.h"
#include "hamgam/detail/lock_watch.h"
#include "os/membarrier.h"
#include "os/spin_lock.h"
#include "sched/threads.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

// What a thread has that has no row of its own: one with nothing free.
constinit ReaderRow g_no_row{.held = {&g_no_row, &g_no_row, &g_no_row, &g_no_row, &g_no_row,
                                      &g_no_row, &g_no_row, &g_no_row}};

}  // namespace

#if defined(__x86_64__)
extern "C" {
extern thread_local constinit ReaderRow* hamgam_reader_row
    __attribute__((visibility("default"), tls_model("initial-exec")));
thread_local constinit ReaderRow* hamgam_reader_row = &g_no_row;
}
namespace {
void set_reader_row(ReaderRow* row) noexcept { hamgam_reader_row = row; }
}  // namespace
#else
namespace {
thread_local constinit ReaderRow* t_row = &g_no_row;
void set_reader_row(ReaderRow* row) noexcept { t_row = row; }
}  // namespace
ReaderRow* reader_row() noexcept {
  asm volatile("");
  return t_row;
}
#endif

namespace {

constexpr int kPauseFactor = 9;  // as BRAVO: revocations take a tenth of the time at most

constinit SpinLock g_lock;
constinit atomic<ReaderRow*> g_rows{nullptr};  // pushed to under g_lock
constinit atomic<bool> g_enabled{true};
constinit atomic<int> g_pause_factor{kPauseFactor};

ReaderRow* make_row() noexcept {
  auto* const row = try_make_own<ReaderRow>();
  if (row != nullptr) {
    std::lock_guard const guard(g_lock);
    row->next = g_rows.load(kRelaxed);  // relaxed: under the lock
    g_rows.store(row, kRelease);        // [slots.1] release, pairs with [slots.2]
  }
  return row;
}

}  // namespace

// The row stays with the thread's record, which a later thread gets. What still stands in the slots
// then are readers that are unlocked from elsewhere; the next owner uses the other slots.
HAMGAM_NOINLINE ReaderRow* own_reader_row() noexcept {
  ThreadRecord* thread = this_thread_record();
  if (thread == nullptr) {
    return nullptr;
  }
  if (thread->row == nullptr && (thread->row = make_row()) == nullptr) {
    return nullptr;
  }
  thread->forget_row = []() noexcept { set_reader_row(&g_no_row); };
  set_reader_row(thread->row);
  return thread->row;
}

ReaderRow* reader_rows() noexcept {
  return g_rows.load(
      kAcquire);  // [slots.2] acquire, pairs with [slots.1]: the rows are constructed
}

void fence_readers() noexcept {
  if (HAMGAM_UNLIKELY(!heavy_barrier_or_nap())) {
    enable_reader_slots(false);  // the kernel took it away: from now on readers use none
  }
}

std::int64_t count_readers(const ReaderRow* rows, const void* lock) noexcept {
  std::int64_t count = 0;
  for (const ReaderRow* row = rows; row != nullptr; row = row->next) {
    for (const auto& slot : row->held) {
      // [slots.3] acquire, pairs with [rw.8]: what the reader did before it left
      count += slot.load(kAcquire) == lock ? 1 : 0;
    }
  }
  return count;
}

void sweep_readers(ReaderRow* rows, const void* lock) noexcept {
  for (ReaderRow* row = rows; row != nullptr; row = row->next) {
    for (auto& slot : row->held) {
      const void* held = lock;
      if (slot.load(kRelaxed) == lock) {  // relaxed: the CAS checks it
        // By CAS, because the owner may fill it with another lock. relaxed: it tells nobody
        // anything
        slot.compare_exchange_strong(held, nullptr, kRelaxed, kRelaxed);
      }
    }
  }
}

void watch_readers(ReaderRow* rows, std::uint32_t change) noexcept {
  for (ReaderRow* row = rows; row != nullptr; row = row->next) {
    row->watched.fetch_add(change, kRelaxed);  // relaxed: a heavy barrier follows where it matters
  }
}

bool reader_slots_enabled() noexcept {
  // relaxed: a setting. While locks are watched, each reader is to be known.
  return g_enabled.load(kRelaxed) && watched_bit() == 0 && heavy_barrier_available();
}

void enable_reader_slots(bool on) noexcept {
  g_enabled.store(on, kRelaxed);  // relaxed: a setting
}

std::int64_t reader_slots_pause(std::int64_t fence_cost) noexcept {
  return g_pause_factor.load(kRelaxed) * fence_cost;  // relaxed: a setting
}

void set_reader_slots_pause(int factor) noexcept {
  g_pause_factor.store(factor, kRelaxed);  // relaxed: a setting
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
