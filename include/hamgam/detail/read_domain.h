// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// When may what was unlinked from a structure be destroyed that is read without locks? Once nobody
// reads who may have seen it still linked. Readers pin the structure's domain; a writer unlinks,
// then retires.
//
// A pin is one store and one full fence on a line that only this worker (or thread) writes, and
// unpinning one store. What is retired is destroyed at once if nobody reads the domain at that
// moment, else by a later writer or by the janitor, once the last of those who do has told him:
// a reader never runs a destructor. A reader may park while it has pinned and go on elsewhere; it
// delays destruction, nothing else. Why this is so stands in src/sync/read_domain.cpp.

#include <cstdint>

#include "hamgam/detail/atomic.h"
#include "hamgam/detail/config.h"
#include "hamgam/detail/light_barrier.h"
#include "hamgam/detail/worker_slot.h"

namespace hamgam::inline HAMGAM_ABI::detail {

class ReadDomain;

// Somebody's pin. A worker's or thread's own is filled only by it, and only while it is free; made
// free by whoever holds the pin, perhaps on another worker by then; and never destroyed. An extra
// one is in the list of the domain that it pins, and goes with the pin.
struct alignas(64) ReadRecord {
  // kNew: not in the list of the owned yet. kFree. Otherwise the domain's epoch when it was pinned.
  static constexpr std::uint64_t kNew = 0;
  static constexpr std::uint64_t kFree = 1;

  atomic<std::uint64_t> epoch{kNew};
  atomic<const ReadDomain*> domain{nullptr};
  ReadRecord* next = nullptr;  // among the owned, the domain's extra ones, or those to use again
  ReadRecord* previous = nullptr;  // among the domain's extra ones
  unseen<bool> extra = false;
};

HAMGAM_API extern ReadRecord read_records[kWorkerSlots];  // each worker's own

// What retires derives from this. Before that the word is its owner's. Its lowest bit and the
// highest four stay as they are, for `destroy` to tell kinds and places apart. (Linux gives
// programs no address of more than 57 bits, and AArch64's memory tags are in the four below these;
// only HWASan takes all eight.)
class Retired {
 public:
  explicit Retired(std::uint64_t word) noexcept : word_(word) {}

  [[nodiscard]] std::uint64_t word() const noexcept { return word_; }
  [[nodiscard]] bool is_odd() const noexcept { return (word_ & 1) != 0; }

  [[nodiscard]] Retired* next() const noexcept {
    return reinterpret_cast<Retired*>(word_ & ~kKept);
  }
  void set_next(Retired* next) noexcept {
    word_ = reinterpret_cast<std::uint64_t>(next) | (word_ & kKept);
  }

 private:
  static constexpr std::uint64_t kKept = (HAMGAM_HWASAN ? 0 : std::uint64_t{0xF} << 60) | 1;

  unseen<std::uint64_t> word_;
};

class ReadDomain {
 public:
  // Destroys all of a list, linked by next(); one of them may own the domain.
  using Destroy = void (*)(ReadDomain& domain, Retired* first) noexcept;

  explicit ReadDomain(Destroy destroy) noexcept : destroy_(destroy) {}
  HAMGAM_API ~ReadDomain();
  ReadDomain(const ReadDomain&) = delete;
  ReadDomain& operator=(const ReadDomain&) = delete;

  // While it lives, nothing is destroyed that could be reached when it was made.
  class Pin {
   public:
    HAMGAM_INLINE explicit Pin(ReadDomain& domain) noexcept : domain_(domain) {
      unsigned const slot = worker_slot();
      ReadRecord* record = &read_records[slot];
      // relaxed throughout: what must be ordered is fenced, [reads.1] pairs with [reads.2]
      // [reads.6] acquire, pairs with [reads.5]: perhaps of another worker
      if (HAMGAM_UNLIKELY(slot == 0 || record->epoch.load(kAcquire) != ReadRecord::kFree)) {
        record = domain.claim_record();
      }
      // [reads.12] release, pairs with [reads.13]: what was read of another domain is over
      record->domain.store(&domain, kRelease);
      record->epoch.store(domain.epoch_.load(kAcquire),
                          kRelaxed);  // [reads.3] pairs with [reads.4]
      full_fence();                   // [reads.1] pairs with [reads.2]
      record_ = record;
    }

    HAMGAM_INLINE ~Pin() {
      ReadRecord* const record = record_;
      if (HAMGAM_UNLIKELY(record->extra)) {
        domain_.release_extra(record);
      } else {
        record->epoch.store(ReadRecord::kFree,
                            kRelease);  // [reads.5] release, pairs with [reads.6]
      }
      light_barrier();  // pairs with heavy_barrier() in Sweep::age
      if (HAMGAM_UNLIKELY(domain_.litter_.load(kRelaxed) == kLeft)) {  // relaxed: fenced
        domain_.tell();
      }
    }

    Pin(const Pin&) = delete;
    Pin& operator=(const Pin&) = delete;

   private:
    ReadDomain& domain_;
    ReadRecord* record_;
  };

  // Whether what the caller unlinked just now can be reached by nobody at all.
  [[nodiscard]] HAMGAM_API bool is_unread() const noexcept;

  // Takes over a list, linked by next(), of what nobody can reach any more but who has pinned. The
  // caller holds no lock that a destructor might want, and does not touch the domain any more.
  HAMGAM_API void retire(Retired* first) noexcept;

  // When nobody reads any more, but perhaps what is destroyed: destroys all that was retired.
  HAMGAM_API void drain() noexcept;

 private:
  class Sweep;

  // litter_: what is retired and not destroyed yet      changed by
  //   kNone    nothing                                  whoever collects the last, under the lock
  //   kTold    something; somebody is going to look     retire, under the lock; who leaves: by CAS
  //   kLeft    something; whoever leaves tells          the janitor, under the lock
  enum LitterState : std::uint32_t { kNone, kTold, kLeft };

  HAMGAM_API ReadRecord* claim_record() noexcept;
  HAMGAM_API void release_extra(ReadRecord* record) noexcept;
  HAMGAM_API void tell() noexcept;

  ReadRecord* claim_extra() noexcept;
  bool owner_read_before(std::uint64_t epoch) const noexcept;
  bool extra_read_before(std::uint64_t epoch) const noexcept;
  Retired* collect() noexcept;
  void call_janitor() noexcept;

  Destroy const destroy_;
  atomic<std::uint64_t> epoch_{ReadRecord::kFree + 1};
  atomic<std::uint32_t> litter_{kNone};
  // All below under the domain's lock, lock_of() in src/sync/read_domain.cpp; extra_ is also looked
  // at without.
  atomic<ReadRecord*> extra_{nullptr};  // pins of those who parked, or read twice at once
  Retired* old_ = nullptr;              // waits until nobody reads who pinned before old_epoch_
  Retired* fresh_ = nullptr;            // waits for old_ to be destroyed
  std::uint64_t old_epoch_ = 0;
  Sweep* sweep_ = nullptr;  // what the janitor looks at; made when it is first called
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
