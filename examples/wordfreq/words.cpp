// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include "words.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>
#include <stdexcept>
#include <utility>

#include "letters.h"

namespace wordfreq {
namespace {

using Byte = unsigned char;

constexpr std::size_t kFirstSlots = 1U << 12;
constexpr std::size_t kBlockSize = 1U << 16;

// An ASCII letter or digit in lower case; 0 for every other byte.
constexpr auto kFold = [] {
  std::array<Byte, 256> fold{};
  for (Byte c = '0'; c <= '9'; ++c) {
    fold[c] = c;
  }
  for (Byte c = 'a'; c <= 'z'; ++c) {
    fold[c] = c;
    fold[c - 'a' + 'A'] = c;
  }
  return fold;
}();

// The code points of two bytes, where most non-English text of our alphabets is: one bit each.
constexpr char32_t kTwoByteEnd = 0x800;
constexpr auto kTwoByteLetters = [] {
  std::array<std::uint64_t, kTwoByteEnd / 64> bits{};
  for (const auto& range : kLetters) {
    for (char32_t c = range.first; c <= range.last && c < kTwoByteEnd; ++c) {
      bits[c / 64] |= std::uint64_t{1} << c % 64;
    }
  }
  return bits;
}();

bool is_letter(char32_t c) noexcept {
  if (c < kTwoByteEnd) {
    return (kTwoByteLetters[c / 64] >> c % 64 & 1) != 0;
  }
  const auto* range = std::ranges::lower_bound(kLetters, c, {}, &CodePoints::last);
  return range != kLetters.end() && range->first <= c;
}

// The length of the letter or digit beyond ASCII that starts at p; 0 if there is none.
std::size_t letter_size(const Byte* p, const Byte* end) noexcept {
  const Byte lead = *p;
  const std::size_t size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || static_cast<std::size_t>(end - p) < size) {
    return 0;
  }
  char32_t c = lead & (0x7FU >> size);
  for (std::size_t i = 1; i < size; ++i) {
    if ((p[i] & 0xC0U) != 0x80) {
      return 0;
    }
    c = c << 6 | (p[i] & 0x3FU);
  }
  // Encodings that are too long, surrogates, and what lies above U+10FFFF are not UTF-8. The table
  // holds neither surrogates nor anything above, and lead >= 0xC2 has refused the long two bytes.
  constexpr std::array<char32_t, 5> kLeast{0, 0, 0x80, 0x800, 0x10000};
  return c >= kLeast[size] && is_letter(c) ? size : 0;
}

// Takes a word eight bytes at a time. No byte of a word is 0 and every step can be undone, so two
// words of the same size, up to eight bytes, are equal if their hashes are.
class Hasher {
 public:
  static constexpr std::size_t kExactSize = 8;

  void add(Byte c) noexcept {
    block_ = block_ << 8 | c;
    if (block_ >> 56 != 0) {
      mix();
    }
  }
  [[nodiscard]] std::uint64_t finish() noexcept {
    mix();
    return hash_;
  }

 private:
  void mix() noexcept {
    hash_ = (hash_ ^ block_) * 0x9E3779B97F4A7C15U;
    hash_ ^= hash_ >> 32;
    block_ = 0;
  }

  std::uint64_t hash_ = 0x243F6A8885A308D3U;
  std::uint64_t block_ = 0;
};

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
          (word.size() <= Hasher::kExactSize || entry.word == word)) {
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

void WordTable::insert(Slot& slot, std::string_view word, std::uint64_t hash,
                       std::uint64_t count) {
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

void count_words(std::span<char> text, WordTable& table) {
  auto* p = reinterpret_cast<Byte*>(text.data());
  const Byte* const end = p + text.size();
  while (p != end) {
    const Byte* const begin = p;
    Hasher hasher;
    while (p != end) {
      if (const Byte c = kFold[*p]; c != 0) {
        *p++ = c;
        hasher.add(c);
        continue;
      }
      std::size_t size = *p < 0x80 ? 0 : letter_size(p, end);
      if (size == 0) {
        break;
      }
      for (; size > 0; --size) {
        hasher.add(*p++);
      }
    }
    if (p != begin) {
      table.add({reinterpret_cast<const char*>(begin), static_cast<std::size_t>(p - begin)},
                hasher.finish());
    }
    if (p != end) {
      ++p;  // what ended the word
    }
  }
}

std::uint64_t hash_of(std::string_view word) noexcept {
  Hasher hasher;
  for (const char c : word) {
    hasher.add(static_cast<Byte>(c));
  }
  return hasher.finish();
}

bool is_separator(char byte) noexcept {
  const auto c = static_cast<Byte>(byte);
  return c < 0x80 && kFold[c] == 0;
}

std::size_t find_separator(std::span<const char> text, std::size_t from) noexcept {
  while (from < text.size() && !is_separator(text[from])) {
    ++from;
  }
  return from;
}

}  // namespace wordfreq
