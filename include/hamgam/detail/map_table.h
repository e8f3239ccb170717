// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// What Map is for all K and V: a table of linked lists that grows without moving anything.
//
// The hash decides all: an entry's `order` is the hash with its lowest bit set. The table's sixteen
// stripes share out the first four bits; a stripe is one list, sorted by order, from its head to
// the table's tail. Buckets are entry points into the lists: the bucket of the prefix p of `bits`
// bits is a link (with order p000..., which no entry has) before the first entry that begins with
// p. To double the table is to publish twice as many buckets, which are put into the lists one by
// one by writers that use them; until then a reader takes the bucket of the longest shorter prefix,
// which only takes longer. (Shalev and Shavit, "Split-ordered lists", with sorting by the leading
// bits, which need not be reversed.)
//
// Readers take no lock. Writers hold the mutex of the stripe. Entries never change once they are
// linked, but for `next`; a new value is a new entry in the place of the old one. Entries of the
// same order (equal hashes) stand in a row; a new one comes first in it, so that whoever walks
// along meets no key twice.
//
// Rejected: Go's trie of sixteen-way nodes: four dependent loads where this has three. Rejected: a
// table that is copied when it grows: readers would have to help or wait.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>

#include "hamgam/detail/atomic.h"
#include "hamgam/detail/config.h"
#include "hamgam/detail/inner_mutex.h"
#include "hamgam/detail/read_domain.h"

namespace hamgam::inline HAMGAM_ABI::detail {

struct MapLink {
  constexpr MapLink() noexcept = default;
  constexpr MapLink(MapLink* n, std::uint64_t o) noexcept : next(n), order(o) {}

  atomic<MapLink*> next{nullptr};   // null: a bucket that is not in its list yet
  unseen<std::uint64_t> order = 0;  // odd: an entry
};

// What readers may still see when it is removed: entries, and (with order 0) tables.
struct MapEntry : MapLink, Retired {
  constexpr explicit MapEntry(std::uint64_t o) noexcept : MapLink(nullptr, o) {}
};

struct MapTable : MapEntry {
  static constexpr unsigned kStripeBits = 4;
  static constexpr unsigned kMaxBits = 40;
  static constexpr std::size_t kStripes = std::size_t{1} << kStripeBits;

  struct alignas(64) Stripe {
    MapLink head;
    InnerMutex mutex;
    atomic<std::size_t> size{0};  // changes under the mutex
  };

  HAMGAM_API MapTable();
  HAMGAM_API ~MapTable();  // all entries are gone

  static std::uint64_t order_of(std::uint64_t hash) noexcept {
    hash = (hash ^ hash >> 32) * 0x9E3779B97F4A7C15U;
    return (hash & ~std::uint64_t{3}) | 1;  // never that of the tail
  }

  Stripe& stripe_of(std::uint64_t sought) noexcept { return stripes[sought >> (64 - kStripeBits)]; }

  // Where a reader begins.
  HAMGAM_INLINE MapLink* bucket_for_reading(std::uint64_t sought) noexcept {
    unsigned const now = bits.load(kAcquire);  // [map.1] acquire, pairs with [map.2]: the segments
    for (std::uint64_t prefix = sought >> (64 - now); prefix != 0; prefix &= prefix - 1) {
      auto const zeros = static_cast<unsigned>(std::countr_zero(prefix));
      if (now - zeros <= kStripeBits) {
        break;
      }
      // relaxed: published by bits
      MapLink* link = segments[now - zeros].load(kRelaxed) + (prefix >> (zeros + 1));
      // [map.3] acquire, pairs with [map.4]
      if (HAMGAM_LIKELY(link->next.load(kAcquire) != nullptr)) {
        return link;
      }
    }
    return &stripe_of(sought).head;
  }

  // Where a writer begins, under the stripe's mutex: the very bucket.
  MapLink* bucket_for_writing(std::uint64_t sought) noexcept;

  // Under the stripe's mutex. After that the caller asks grow(), without it, if `insert` is true.
  [[nodiscard]] bool insert(MapLink& before, MapLink& entry, Stripe& stripe) noexcept {
    replace_link(before, entry, before.next.load(kRelaxed));  // relaxed: under the mutex
    std::size_t const size = stripe.size.load(kRelaxed) + 1;  // relaxed: under the mutex
    stripe.size.store(size, kRelaxed);                        // relaxed: readers only count
    return size << kStripeBits > std::size_t{1} << bits.load(kRelaxed);  // relaxed: grow() checks
  }
  static void replace(MapLink& before, MapLink& former, MapLink& entry) noexcept {
    replace_link(before, entry, former.next.load(kRelaxed));  // relaxed: under the mutex
  }
  static void erase(MapLink& before, MapLink& entry, Stripe& stripe) noexcept {
    MapLink* const after = entry.next.load(kRelaxed);  // relaxed: under the mutex
    before.next.store(after, kRelease);                // [map.4] release, pairs with [map.3]
    stripe.size.store(stripe.size.load(kRelaxed) - 1, kRelaxed);  // relaxed: readers only count
  }

  // Doubles the number of buckets if there are more entries.
  void grow() noexcept;

  [[nodiscard]] std::size_t size() const noexcept {
    std::size_t sum = 0;
    for (const Stripe& stripe : stripes) {
      sum += stripe.size.load(kRelaxed);  // relaxed: a snapshot
    }
    return sum;
  }

  static void replace_link(MapLink& before, MapLink& entry, MapLink* after) noexcept {
    entry.next.store(after, kRelaxed);    // relaxed: published by the next line
    before.next.store(&entry, kRelease);  // [map.4] release, pairs with [map.3]: the entry
  }

  Stripe stripes[kStripes];
  MapLink tail{nullptr, UINT64_MAX};
  atomic<unsigned> bits{kStripeBits};
  // The buckets whose prefix has that many significant bits.
  atomic<MapLink*> segments[kMaxBits + 1] = {};
  InnerMutex growing;
};

inline MapLink* MapTable::bucket_for_writing(std::uint64_t sought) noexcept {
  unsigned const now = bits.load(kAcquire);  // [map.1] acquire, pairs with [map.2]
  std::uint64_t prefix = sought >> (64 - now);
  auto const zeros = prefix == 0 ? now : static_cast<unsigned>(std::countr_zero(prefix));
  if (now - zeros <= kStripeBits) {
    return &stripe_of(sought).head;
  }
  // relaxed: published by bits
  MapLink* const link = segments[now - zeros].load(kRelaxed) + (prefix >> (zeros + 1));
  if (link->next.load(kRelaxed) != nullptr) {  // relaxed: changes under the stripe's mutex
    return link;
  }
  // Its place is somewhere behind the bucket of the next shorter prefix.
  std::uint64_t const place = prefix << (64 - now);
  MapLink* before = bucket_for_reading((prefix & (prefix - 1)) << (64 - now));
  for (;;) {
    MapLink* const after = before->next.load(kRelaxed);  // relaxed: under the mutex
    if (after->order > place) {
      link->order = place;
      link->next.store(after, kRelease);   // [map.4] release, pairs with [map.3]
      before->next.store(link, kRelease);  // [map.4] release, pairs with [map.3]
      return link;
    }
    before = after;
  }
}

HAMGAM_NOINLINE inline void MapTable::grow() noexcept {
  // relaxed: one that grows it now has seen as much as we
  unsigned const now = bits.load(kRelaxed);
  if (now == kMaxBits || size() <= std::size_t{1} << now || !growing.try_lock()) {
    return;
  }
  if (bits.load(kRelaxed) == now) {  // relaxed: changes under the mutex
    if (auto* segment = new (std::nothrow) MapLink[std::size_t{1} << now]) {
      segments[now + 1].store(segment, kRelaxed);  // relaxed: published by bits
      bits.store(now + 1, kRelease);               // [map.2] release, pairs with [map.1]
    }
  }
  growing.unlock();
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
