// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/detail/map_memory.h"

#include <algorithm>
#include <utility>

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr std::size_t kFewest = 2;             // pieces in a block
constexpr std::size_t kBlockSize = 4096 - 32;  // at most: with what malloc needs less than a page

}  // namespace

struct alignas(MapMemory::kAlignment) MapMemory::Block {
  Block* next;

  [[nodiscard]] char* pieces() noexcept { return reinterpret_cast<char*>(this + 1); }
};

// A block has half as many pieces as are in use, so of many at most a third stand empty.
void* MapMemory::take_more(std::size_t size) {
  if (returned_.load(kRelaxed) != nullptr) {  // relaxed: a hint
    // [map.15] acquire, pairs with [map.16]: their entries are destroyed
    Piece* const piece = returned_.exchange(nullptr, kAcquire);
    free_ = piece->next;
    return piece;
  }
  std::size_t const used = taken_ - given_.load(kRelaxed);  // relaxed: an estimate
  std::size_t const count =
      std::max(kFewest, std::min(used / 2, (kBlockSize - sizeof(Block)) / size));
  blocks_ = new (::operator new(sizeof(Block) + count * size)) Block{blocks_};
  next_ = blocks_->pieces() + size;
  end_ = blocks_->pieces() + count * size;
  return blocks_->pieces();
}

MapMemory::Block* MapMemory::take_blocks(std::size_t used) noexcept {
  // [map.17] acquire, pairs with [map.18]: who gave the last is done with it
  if (taken_ - given_.load(kAcquire) != used) {
    return nullptr;
  }
  // relaxed throughout: nobody gives any
  returned_.store(nullptr, kRelaxed);
  given_.store(0, kRelaxed);
  free_ = nullptr;
  next_ = end_ = nullptr;
  taken_ = 0;
  return std::exchange(blocks_, nullptr);
}

void MapMemory::free_blocks(Block* blocks) noexcept {
  while (blocks != nullptr) {
    ::operator delete(std::exchange(blocks, blocks->next));
  }
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
