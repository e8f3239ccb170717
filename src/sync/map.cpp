// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/map.h"

#include <new>

namespace hamgam::inline HAMGAM_ABI::detail {

MapTable::MapTable() : MapEntry(0) {
  for (std::size_t i = 0; i < kStripes; ++i) {
    stripes[i].head.order = std::uint64_t{i} << (64 - kStripeBits);
    stripes[i].head.next.store(&tail, kRelaxed);  // relaxed: published with the table
  }
}

MapTable::~MapTable() {
  for (auto& segment : segments) {
    delete[] segment.load(kRelaxed);  // relaxed: nobody else is here
  }
}

MapLink* MapTable::bucket_for_writing(std::uint64_t order) noexcept {
  unsigned const now = bits.load(kAcquire);  // [map.1] acquire, pairs with [map.2]
  std::uint64_t prefix = order >> (64 - now);
  auto const zeros = prefix == 0 ? now : static_cast<unsigned>(std::countr_zero(prefix));
  if (now - zeros <= kStripeBits) {
    return &stripe_of(order).head;
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

void MapTable::grow() noexcept {
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
