// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/map.h"

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

}  // namespace hamgam::inline HAMGAM_ABI::detail
