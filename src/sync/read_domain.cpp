// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/detail/read_domain.h"

#include <cstdlib>
#include <mutex>
#include <new>
#include <utility>

#include "os/spin_lock.h"
#include "sched/park.h"

// Safety. A reader stores its pin, fences [reads.1], then reads the structure. A writer unlinks,
// fences [reads.2], then looks at the pins. So either the writer sees the pin, or the reader's
// loads come after the unlinking and cannot reach what was unlinked. Where the writer does see a
// pin, it raises the epoch first and waits only for those that show an older one: who shows the new
// one has read it [reads.3], hence comes after the unlinking. A record's domain is written before
// its epoch, and only while the record is free: a look that finds an old epoch and another domain
// has met a reader that has moved on.
//
// Liveness. Whoever unpins looks at waiting_ and collects. It may look just before a writer sets it
// while its own store of kFree is still on its way to the writer; therefore a writer that puts
// something aside looks a few more times, for longer than a store takes to arrive. (A reader that
// is interrupted in between has made its store visible by that very interrupt.)
//
// Rejected: a light fence for readers and membarrier for writers. A pin would cost 3 ns less, but
// to destroy a value would cost up to 10 us, so values would have to be gathered and live on; here
// they are gone when the writer's call returns. Rejected: one epoch for all domains: a long
// for_each over one map would keep all others from destroying anything. Rejected: hazard pointers:
// a fence per node.

namespace hamgam::inline HAMGAM_ABI::detail {

constinit ReadRecord read_records[kWorkerSlots];

namespace {

constexpr int kLooks = 64;

constinit atomic<ReadRecord*> g_all{nullptr};
constinit SpinLock g_free_lock;
constinit ReadRecord
    g_end_of_free;  // so that next_free of a record that belongs to nobody is not null
constinit ReadRecord* g_free = &g_end_of_free;

void enlist_record(ReadRecord& record) noexcept {
  record.epoch.store(ReadRecord::kFree, kRelaxed);  // relaxed: published below
  record.next = g_all.load(kRelaxed);               // relaxed: the CAS checks it
  // [reads.7] release, pairs with [reads.8]. It comes before the reader's fence [reads.1]: a writer
  // that does not see the record in the list does not see the pin, and need not.
  while (!g_all.compare_exchange_weak(record.next, &record, kRelease, kRelaxed)) {
  }
}

// One that belongs to nobody: for who reads twice at once, has parked while reading, or has no
// slot.
ReadRecord* take_free() noexcept {
  {
    std::lock_guard const guard(g_free_lock);
    if (g_free != &g_end_of_free) {
      tsan_acquire(&g_free->next);
      return std::exchange(g_free, g_free->next_free);
    }
  }
  auto* record = new (std::nothrow) ReadRecord;
  if (record == nullptr) {
    std::abort();  // out of memory where nothing may throw
  }
  record->next_free = &g_end_of_free;  // not null: it goes back
  enlist_record(*record);
  return record;
}

void give_free(ReadRecord* record) noexcept {
  tsan_release(&record->next);
  std::lock_guard const guard(g_free_lock);
  record->next_free = g_free;
  g_free = record;
}

// A plain thread's own record, for as long as the thread lives.
struct ThreadRecord {
  ReadRecord* record = nullptr;
  bool over = false;
  ~ThreadRecord() {
    over = true;
    if (record != nullptr) {
      give_free(record);
    }
  }
};
thread_local ThreadRecord t_record;

}  // namespace

ReadRecord* ReadDomain::claim_record() noexcept {
  if (unsigned const slot = worker_slot(); slot != 0) {
    ReadRecord& own = read_records[slot];
    if (own.epoch.load(kRelaxed) == ReadRecord::kNew) {  // relaxed: ours
      enlist_record(own);
      return &own;
    }
  } else if (current_goroutine() == nullptr && !t_record.over) {
    if (t_record.record == nullptr) {
      t_record.record = take_free();
      t_record.record->next_free = nullptr;  // the thread's own
    }
    if (t_record.record->epoch.load(kRelaxed) == ReadRecord::kFree) {  // relaxed: ours
      return t_record.record;
    }
  }
  return take_free();
}

void ReadDomain::release_record(ReadRecord* record) noexcept {
  record->epoch.store(ReadRecord::kFree, kRelease);  // [reads.9] release, pairs with [reads.6]
  give_free(record);
}

// Does anybody read who pinned this domain before that epoch?
bool ReadDomain::read_before(std::uint64_t epoch) const noexcept {
  // [reads.8] acquire, pairs with [reads.7]
  for (ReadRecord* record = g_all.load(kAcquire); record != nullptr; record = record->next) {
    // [reads.6] acquire, pairs with [reads.5] and [reads.9]: what the reader did is over
    std::uint64_t const pinned = record->epoch.load(kAcquire);
    if (pinned != ReadRecord::kFree && pinned < epoch &&
        record->domain.load(kRelaxed) == this) {  // relaxed: see above
      return true;
    }
    tsan_acquire(&record->next);
  }
  return false;
}

void ReadDomain::destroy_all(Retired* first) noexcept {
  while (first != nullptr) {
    destroy_(std::exchange(first, first->next_retired));
  }
}

void ReadDomain::retire(Retired* retired) noexcept {
  full_fence();  // [reads.2] seq_cst, pairs with [reads.1]
  if (!read_before(UINT64_MAX)) {
    destroy_(retired);
    return;
  }
  bool first = false;
  {
    std::lock_guard const guard(lock_);
    first = fresh_ == nullptr && old_ == nullptr;
    retired->next_retired = fresh_;
    fresh_ = retired;
    waiting_.store(true, kRelaxed);  // relaxed: a hint, see above
  }
  // If there was something before, somebody reads for long and will see to it.
  for (int look = 0; look < (first ? kLooks : 1); ++look) {
    collect();
    if (!waiting_.load(kRelaxed)) {  // relaxed: a hint
      return;
    }
    spin_pause();
  }
}

void ReadDomain::collect() noexcept {
  if (!lock_.try_lock()) {
    return;  // somebody else is at it
  }
  Retired* done = nullptr;
  Retired** end = &done;
  for (;;) {
    if (old_ != nullptr) {
      if (read_before(old_epoch_)) {
        break;
      }
      *end = std::exchange(old_, nullptr);
      while (*end != nullptr) {
        end = &(*end)->next_retired;
      }
    }
    if (fresh_ == nullptr) {
      break;
    }
    old_ = std::exchange(fresh_, nullptr);
    // [reads.4] acq_rel, pairs with [reads.3]: what was unlinked before
    old_epoch_ = epoch_.fetch_add(1, kAcqRel) + 1;
    full_fence();  // [reads.10] seq_cst, pairs with [reads.1]
  }
  waiting_.store(old_ != nullptr, kRelaxed);  // relaxed: a hint
  lock_.unlock();
  destroy_all(done);
}

ReadDomain::~ReadDomain() {
  destroy_all(std::exchange(old_, nullptr));
  destroy_all(std::exchange(fresh_, nullptr));
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
