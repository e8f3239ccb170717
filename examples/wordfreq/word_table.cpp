// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include "word_table.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <stdexcept>
#include <utility>

namespace wordfreq {
namespace {

constexpr std::size_t kFirstSlots = 1U << 8;
constexpr std::size_t kBlockSize = 1U << 14;

}  // namespace

WordTable::WordTable() : slots_(kFirstSlots) {}

std::size_t WordTable::slot_of(std::string_view word, std::uint64_t hash) const {
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t i = hash & mask;; i = (i + 1) & mask) {
    const Slot slot = slots_[i];
    if (slot.number == 0) {
      return i;
    }
    if (slot.tag == hash >> 32) {
      const Entry& entry = entries_[slot.number - 1];
      if (entry.hash == hash && entry.word.size() == word.size() &&
          (word.size() <= kExactSize || entry.word == word)) {
        return i;
      }
    }
  }
}

void WordTable::add(std::string_view word, std::uint64_t hash, std::uint64_t count) {
  Slot& slot = slots_[slot_of(word, hash)];
  if (slot.number != 0) [[likely]] {
    entries_[slot.number - 1].count += count;
  } else {
    insert(slot, keep(word), hash, count);
  }
}

void WordTable::merge(WordTable other) {
  if (other.entries_.size() > entries_.size()) {
    std::swap(*this, other);
  }
  constexpr std::size_t kAhead = 8;  // the slots are far apart: have them fetched in time
  const auto& entries = other.entries_;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (i + kAhead < entries.size()) {
      __builtin_prefetch(&slots_[entries[i + kAhead].hash & (slots_.size() - 1)]);
    }
    const Entry& entry = entries[i];
    Slot& slot = slots_[slot_of(entry.word, entry.hash)];
    if (slot.number != 0) {
      entries_[slot.number - 1].count += entry.count;
    } else {
      insert(slot, entry.word, entry.hash, entry.count);
    }
  }
  std::ranges::move(other.blocks_, std::back_inserter(blocks_));
}

std::uint64_t WordTable::count(std::string_view word, std::uint64_t hash) const {
  const Slot slot = slots_[slot_of(word, hash)];
  return slot.number == 0 ? 0 : entries_[slot.number - 1].count;
}

void WordTable::insert(Slot& slot, std::string_view word, std::uint64_t hash, std::uint64_t count) {
  if (entries_.size() == UINT32_MAX) {
    throw std::length_error("more than 4294967295 different words");
  }
  entries_.push_back({word, hash, count});
  slot = {static_cast<std::uint32_t>(hash >> 32), static_cast<std::uint32_t>(entries_.size())};
  if (entries_.size() * 2 > slots_.size()) {
    grow();
  }
}

void WordTable::grow() {
  std::vector<Slot> slots(slots_.size() * 2);
  const std::size_t mask = slots.size() - 1;
  std::uint32_t number = 0;
  for (const Entry& entry : entries_) {
    std::size_t i = entry.hash & mask;
    while (slots[i].number != 0) {
      i = (i + 1) & mask;
    }
    slots[i] = {static_cast<std::uint32_t>(entry.hash >> 32), ++number};
  }
  slots_ = std::move(slots);
}

std::string_view WordTable::keep(std::string_view word) {
  if (word.size() > room_.size()) {
    const std::size_t size = std::max(word.size(), kBlockSize);
    blocks_.push_back(std::make_unique_for_overwrite<char[]>(size));
    room_ = {blocks_.back().get(), size};
  }
  std::memcpy(room_.data(), word.data(), word.size());
  const std::string_view kept(room_.data(), word.size());
  room_ = room_.subspan(word.size());
  return kept;
}

}  // namespace wordfreq
