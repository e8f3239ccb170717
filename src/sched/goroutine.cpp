// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sched/goroutine.h"

#include <new>

#include "os/spin_lock.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr std::size_t kSlabRecords = 64;
constexpr std::size_t kBatch = 64;

struct Slab {
  Slab* next = nullptr;
  Goroutine records[kSlabRecords];
};

// Free records that belong to no cache. Thread safety: under lock_, but for slabs_.
// Slabs are never freed, so for_each_record may walk them without the lock.
class RecordDepot {
 public:
  // Up to `count` records linked by next.
  Goroutine* take(std::size_t count, std::size_t& taken) noexcept {
    lock_.lock();
    if (free_ == nullptr) {
      add_slab();
    }
    Goroutine* first = nullptr;
    for (taken = 0; taken < count && free_ != nullptr; ++taken) {
      Goroutine* g = free_;
      free_ = g->next;
      g->next = first;
      first = g;
    }
    lock_.unlock();
    return first;
  }

  void give(Goroutine* first, Goroutine* last) noexcept {
    lock_.lock();
    last->next = free_;
    free_ = first;
    lock_.unlock();
  }

  template <class F>
  void for_each(F f) noexcept {
    // [record.1] acquire, pairs with [record.2]: the slab's records are constructed.
    for (Slab* slab = slabs_.load(kAcquire); slab != nullptr; slab = slab->next) {
      for (Goroutine& g : slab->records) {
        f(g);
      }
    }
  }

 private:
  void add_slab() noexcept {
    auto* slab = new (std::nothrow) Slab;
    if (slab == nullptr) {
      return;
    }
    for (Goroutine& g : slab->records) {
      g.next = free_;
      free_ = &g;
    }
    slab->next = slabs_.load(kRelaxed);  // relaxed: changed under lock_ only
    slabs_.store(slab, kRelease);        // [record.2] release, pairs with [record.1]
  }

  SpinLock lock_;
  Goroutine* free_ = nullptr;
  atomic<Slab*> slabs_{nullptr};
};

constinit RecordDepot g_records;

}  // namespace

Goroutine* GoroutineCache::refill() noexcept {
  std::size_t taken = 0;
  Goroutine* g = g_records.take(kBatch, taken);
  if (g != nullptr) {
    first_ = g->next;
    count_ = taken - 1;
  }
  return g;
}

// Gives the older half away.
void GoroutineCache::spill() noexcept {
  Goroutine* middle = first_;
  for (std::size_t i = 1; i < kCapacity / 2; ++i) {
    middle = middle->next;
  }
  Goroutine* rest = middle->next;
  middle->next = nullptr;
  count_ = kCapacity / 2;
  Goroutine* last = rest;
  while (last->next != nullptr) {
    last = last->next;
  }
  g_records.give(rest, last);
}

Goroutine* take_shared_record() noexcept {
  std::size_t taken = 0;
  return g_records.take(1, taken);
}

void give_shared_record(Goroutine* g) noexcept { g_records.give(g, g); }

void for_each_record(void (*f)(Goroutine& g, void* argument), void* argument) noexcept {
  g_records.for_each([f, argument](Goroutine& g) { f(g, argument); });
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
