// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Where the entries of one of Map's stripes live: pieces of one size, cut from blocks.
//
// malloc and free took two thirds of the instructions that filling and destroying a map of small
// entries takes: it is destroyed in another order than it was filled, which is free's worst case.
// Here a piece that is free is used again for the next entry, and when all entries go, their blocks
// go without a look at each piece.
//
//   free pieces, what is left of the    change under the stripe's mutex
//   newest block, blocks, `taken`
//   `returned`, a stack of pieces       pushed to by whoever destroys an entry, who has no lock;
//                                       taken as a whole under the mutex, so no piece comes back
//                                       while somebody else pushes beside it
//   `given`, how many were pushed       raised after the push
//
// So `given` is at most what came back. If `taken` - `given` is what the stripe's table holds, then
// no piece is on its way: none is with a reader or with who destroys it, and nobody is within
// give(). Then, and only then, clear() lets the blocks go with the table.

#include <cstddef>
#include <new>

#include "hamgam/detail/atomic.h"
#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

class MapMemory {
 public:
  static constexpr std::size_t kLargest = 256;  // larger entries gain nothing
  static constexpr std::size_t kAlignment = alignof(void*) * 2;

  struct Block;

  MapMemory() = default;
  ~MapMemory() { free_blocks(blocks_); }
  MapMemory(const MapMemory&) = delete;
  MapMemory& operator=(const MapMemory&) = delete;

  // Under the mutex: a piece of that size, which is always the same, from 16 bytes to kLargest and
  // a multiple of 8. It throws if there is no memory.
  [[nodiscard]] HAMGAM_INLINE void* take(std::size_t size) {
    void* piece = free_;
    if (HAMGAM_LIKELY(free_ != nullptr)) {
      free_ = free_->next;
    } else if (HAMGAM_LIKELY(next_ != end_)) {
      piece = next_;
      next_ += size;
    } else {
      piece = take_more(size);
    }
    ++taken_;
    return piece;
  }

  // Under the mutex: what would be given.
  void take_back(void* memory) noexcept {
    free_ = new (memory) Piece{free_};
    --taken_;
  }

  // Without the mutex.
  void give(void* memory) noexcept {
    // relaxed: the CAS checks it
    auto* const piece = new (memory) Piece{returned_.load(kRelaxed)};
    // [map.16] release, pairs with [map.15]; relaxed: goes round
    while (!returned_.compare_exchange_weak(piece->next, piece, kRelease, kRelaxed)) {
    }
    given_.fetch_add(1, kRelease);  // [map.18] release, pairs with [map.17]
  }

  // Under the mutex: the blocks, if `used` pieces are all that have not come back; else null.
  [[nodiscard]] Block* take_blocks(std::size_t used) noexcept;
  HAMGAM_API static void free_blocks(Block* blocks) noexcept;

 private:
  struct Piece {
    Piece* next;
  };

  [[nodiscard]] HAMGAM_API void* take_more(std::size_t size);

  Piece* free_ = nullptr;
  char* next_ = nullptr;
  char* end_ = nullptr;
  std::size_t taken_ = 0;
  atomic<Piece*> returned_{nullptr};  // a cache line of others begins here (MapStripe)
  atomic<std::size_t> given_{0};
  Block* blocks_ = nullptr;
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
