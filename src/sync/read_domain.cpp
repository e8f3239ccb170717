// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/detail/read_domain.h"

#include <algorithm>
#include <memory>
#include <mutex>
#include <new>
#include <utility>

#include "base/fatal.h"
#include "base/own_memory.h"
#include "os/membarrier.h"
#include "os/spin_lock.h"
#include "os/thread.h"
#include "sched/park.h"
#include "sched/threads.h"
#include "sync/janitor.h"

// Safety. A reader stores its pin, fences [reads.1], then reads the structure. A writer unlinks,
// fences [reads.2], then looks at the pins. So either the writer sees the pin, or the reader's
// loads come after the unlinking and cannot reach what was unlinked. Where the writer does see a
// pin, it raises the epoch first and waits only for those that show an older one: who shows the new
// one has read it [reads.3], hence comes after the unlinking. A record's domain is written before
// its epoch, and only while the record is free: a look that finds an old epoch and another domain
// has met a reader that has moved on.
//
// An extra record is in its domain's list before the fence [reads.1] and leaves it when the reader
// is done, so the same holds for that list: who finds it empty has seen all who pinned before; who
// does not looks again under the lock. So a record can be given back, and a removal costs what
// reads now, not what has ever read.
//
// Liveness. What cannot be destroyed at once is set aside, and `litter_` says whose turn it is. The
// writer who found kNone looks a few times; then he calls the janitor. The janitor looks; if
// somebody still reads, once more a moment later; then he stores kLeft, makes every thread pass a
// fence, and looks a last time. A reader stores that he has left, then loads litter_. So either
// that last look does not find him any more, or he finds kLeft and calls the janitor again.
//
// Destructors run in retire(), whose caller holds no lock of ours, and on the janitor's thread;
// never in a reader, who may hold any lock of the program's.
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

constinit atomic<ReadRecord*> g_owned{nullptr};

void enlist_owned(ReadRecord& record) noexcept {
  record.epoch.store(ReadRecord::kFree, kRelaxed);  // relaxed: published below
  record.next = g_owned.load(kRelaxed);             // relaxed: the CAS checks it
  // [reads.7] release, pairs with [reads.8]. It comes before the reader's fence [reads.1]: a writer
  // that does not see the record in the list does not see the pin, and need not.
  while (!g_owned.compare_exchange_weak(record.next, &record, kRelease, kRelaxed)) {
  }
}

// Extra records to use again. More than these are given back.
class Spare {
 public:
  ReadRecord* take() noexcept {
    {
      std::lock_guard const guard(lock_);
      if (first_ != nullptr) {
        --count_;
        return std::exchange(first_, first_->next);
      }
    }
    TsanHide const hide;
    auto* const record = try_make_own<ReadRecord>();
    if (record == nullptr) {
      fatal("out of memory: no record for a reader of a Map");  // nothing may throw here
    }
    record->epoch.store(ReadRecord::kFree, kRelaxed);  // relaxed: published with the list's head
    record->extra = true;
    return record;
  }

  void give(ReadRecord* record) noexcept {
    {
      std::lock_guard const guard(lock_);
      if (count_ < kMost) {
        ++count_;
        record->next = first_;
        first_ = record;
        return;
      }
    }
    TsanHide const hide;
    drop_own(record);
  }

 private:
  static constexpr unsigned kMost = 64;

  SpinLock lock_;
  ReadRecord* first_ = nullptr;
  unsigned count_ = 0;
};
constinit Spare g_spare;

// The lock of a domain's lists, shared with few others: not a Mutex, which may be handed over to a
// goroutine that does not get to run, in particular when the process exits.
SpinLock& lock_of(const ReadDomain& domain) noexcept {
  struct alignas(64) Lock {
    SpinLock lock;
  };
  static constinit Lock locks[64];
  return locks[(reinterpret_cast<std::uintptr_t>(&domain) >> 4) * 0x9E3779B97F4A7C15U >> 58].lock;
}

// Moves all of `more` to the list; in what order does not matter.
void move_to(Retired*& list, Retired* more) noexcept {
  while (more != nullptr) {
    Retired* const rest = more->next();
    more->set_next(list);
    list = std::exchange(more, rest);
  }
}

}  // namespace

ReadRecord* ReadDomain::claim_record() noexcept {
  if (unsigned const slot = worker_slot(); slot != 0) {
    ReadRecord& own = read_records[slot];
    if (own.epoch.load(kRelaxed) == ReadRecord::kNew) {  // relaxed: ours
      enlist_owned(own);
      return &own;
    }
  } else if (current_goroutine() == nullptr) {
    if (ThreadRecord* thread = this_thread_record()) {
      if (thread->pin == nullptr) {
        TsanHide const hide;
        thread->pin = try_make_own<ReadRecord>();  // it stays with the thread's record
        if (thread->pin != nullptr) {
          enlist_owned(*thread->pin);
        }
      }
      if (thread->pin != nullptr &&
          thread->pin->epoch.load(kRelaxed) == ReadRecord::kFree) {  // relaxed: ours
        return thread->pin;
      }
    }
  }
  return claim_extra();
}

// For who reads twice at once, has parked while reading, or has no slot.
ReadRecord* ReadDomain::claim_extra() noexcept {
  ReadRecord* const record = g_spare.take();
  std::lock_guard const guard(lock_of(*this));
  ReadRecord* const second = extra_.load(kRelaxed);  // relaxed: under the lock
  record->next = second;
  record->previous = nullptr;
  if (second != nullptr) {
    second->previous = record;
  }
  // relaxed: comes before the reader's fence [reads.1], as [reads.7]
  extra_.store(record, kRelaxed);
  return record;
}

void ReadDomain::release_extra(ReadRecord* record) noexcept {
  {
    std::lock_guard const guard(lock_of(*this));
    if (record->next != nullptr) {
      record->next->previous = record->previous;
    }
    if (record->previous != nullptr) {
      record->previous->next = record->next;
    } else {
      extra_.store(record->next, kRelease);  // [reads.9] release, pairs with [reads.11]
    }
    record->epoch.store(ReadRecord::kFree, kRelaxed);  // relaxed: ours again
  }
  g_spare.give(record);
}

namespace {

bool is_before(const ReadRecord& record, std::uint64_t epoch) noexcept {
  // [reads.6] acquire, pairs with [reads.5]: what the reader did is over
  std::uint64_t const pinned = record.epoch.load(kAcquire);
  return pinned != ReadRecord::kFree && pinned < epoch;
}

}  // namespace

// Does anybody read, with a record of his own, who pinned this domain before that epoch?
bool ReadDomain::owner_read_before(std::uint64_t epoch) const noexcept {
  // [reads.8] acquire, pairs with [reads.7]
  for (ReadRecord* record = g_owned.load(kAcquire); record != nullptr; record = record->next) {
    // [reads.13] acquire, pairs with [reads.12]: a reader that has moved on has read
    if (is_before(*record, epoch) && record->domain.load(kAcquire) == this) {
      return true;
    }
  }
  return false;
}

// The same for the others, under the lock.
bool ReadDomain::extra_read_before(std::uint64_t epoch) const noexcept {
  // relaxed: under the lock
  for (ReadRecord* record = extra_.load(kRelaxed); record != nullptr; record = record->next) {
    if (is_before(*record, epoch)) {
      return true;
    }
  }
  return false;
}

// What the janitor looks at.
class ReadDomain::Sweep final : public Aged, public InOwnMemory {
 public:
  explicit Sweep(ReadDomain& domain) noexcept : domain_(domain) {}

  Nanos age() noexcept override {
    Retired* done = domain_.collect();
    Nanos again = kForever;
    // relaxed throughout: under the lock, or fenced
    if (domain_.litter_.load(kRelaxed) == kNone) {
      pause_ = kShortPause;
      looked_ = false;
    } else if (!looked_) {
      looked_ = true;
      again = now() + pause_;
      pause_ = std::min(2 * pause_, kLongPause);  // readers come and go, and one stays for long
    } else {
      looked_ = false;
      lock_of(domain_).lock();
      if (domain_.litter_.load(kRelaxed) != kNone) {
        domain_.litter_.store(kLeft, kRelaxed);
      }
      lock_of(domain_).unlock();
      (void)heavy_barrier_or_nap();  // everybody sees what was stored, and we what others have
      move_to(done, domain_.collect());
    }
    if (done != nullptr) {
      domain_.destroy_(domain_, done);  // the domain, and this, may be gone then
    }
    return again;
  }

 private:
  static constexpr Nanos kShortPause = kMillisecond;
  static constexpr Nanos kLongPause = 64 * kMillisecond;

  ReadDomain& domain_;
  Nanos pause_ = kShortPause;
  bool looked_ = false;  // and in vain
};

bool ReadDomain::is_unread() const noexcept {
  full_fence();  // [reads.2] seq_cst, pairs with [reads.1]
  // [reads.11] acquire, pairs with [reads.9]
  return extra_.load(kAcquire) == nullptr && !owner_read_before(UINT64_MAX);
}

void ReadDomain::retire(Retired* retired) noexcept {
  if (is_unread()) {
    destroy_(*this, retired);
    return;
  }
  bool first = false;
  {
    std::lock_guard const guard(lock_of(*this));
    move_to(fresh_, retired);
    // relaxed throughout: under the lock
    first = litter_.load(kRelaxed) == kNone;
    if (first) {
      litter_.store(kTold, kRelaxed);
    }
  }
  Retired* done = collect();
  // relaxed: what comes later is for others to see to
  for (int look = 1; first && look < kLooks && litter_.load(kRelaxed) != kNone; ++look) {
    spin_pause();
    move_to(done, collect());
  }
  if (first && litter_.load(kRelaxed) != kNone) {  // relaxed: the janitor looks itself
    call_janitor();
  }
  if (done != nullptr) {
    destroy_(*this, done);  // last: it may take as long as it likes, and the domain with it
  }
}

// Takes off what nobody reads any more.
Retired* ReadDomain::collect() noexcept {
  Retired* done = nullptr;
  std::lock_guard const guard(lock_of(*this));
  for (;;) {
    if (old_ != nullptr) {
      if (extra_read_before(old_epoch_) || owner_read_before(old_epoch_)) {
        break;
      }
      move_to(done, std::exchange(old_, nullptr));
    }
    if (fresh_ == nullptr) {
      break;
    }
    old_ = std::exchange(fresh_, nullptr);
    // [reads.4] acq_rel, pairs with [reads.3]: what was unlinked before
    old_epoch_ = epoch_.fetch_add(1, kAcqRel) + 1;
    full_fence();  // [reads.10] seq_cst, pairs with [reads.1]
  }
  if (old_ == nullptr) {
    litter_.store(kNone, kRelaxed);  // relaxed: under the lock
  }
  return done;
}

void ReadDomain::tell() noexcept {
  std::uint32_t left = kLeft;
  // relaxed: the janitor's lock orders what follows
  if (litter_.compare_exchange_strong(left, kTold, kRelaxed, kRelaxed)) {
    call_janitor();
  }
}

// By whoever has made litter_ kTold. Perhaps by two at once, as the janitor may have been quick in
// between: the sweep is made once, and is attended at the earlier of two times.
void ReadDomain::call_janitor() noexcept {
  TsanHide const hide;
  std::unique_ptr<Sweep> made(new (std::nothrow) Sweep(*this));
  lock_of(*this).lock();
  if (sweep_ == nullptr) {
    sweep_ = made.release();
  }
  Sweep* const sweep = sweep_;
  lock_of(*this).unlock();
  if (sweep == nullptr || !attend(*sweep, now())) {
    // No memory or no thread: whoever leaves next tries again, or writes.
    std::lock_guard const guard(lock_of(*this));
    if (litter_.load(kRelaxed) == kTold) {  // relaxed: under the lock
      litter_.store(kLeft, kRelaxed);       // relaxed: under the lock
    }
  }
}

ReadDomain::~ReadDomain() { drain(); }

// A destructor may retire more, and call the janitor.
void ReadDomain::drain() noexcept {
  do {
    if (sweep_ != nullptr) {
      strike_off(*sweep_);
      TsanHide const hide;
      delete std::exchange(sweep_, nullptr);
    }
    // Without a sweep nobody else is here.
    litter_.store(kNone, kRelaxed);  // relaxed: as said
    Retired* done = std::exchange(old_, nullptr);
    move_to(done, std::exchange(fresh_, nullptr));
    if (done != nullptr) {
      destroy_(*this, done);
    }
  } while (sweep_ != nullptr || old_ != nullptr || fresh_ != nullptr);
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
