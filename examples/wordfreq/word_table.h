// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// The table that counts words.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace wordfreq {

// Words up to this size are equal if their sizes and their hashes (words.h) are.
inline constexpr std::size_t kExactSize = 8;

// A hash table from word to count. Slots are 8 bytes and point into a dense list of entries, so
// that the index stays small, the frequent words, which come early, lie close together, and growing
// moves no word. Used by one goroutine at a time.
class WordTable {
 public:
  struct Entry {
    std::string_view word;
    std::uint64_t hash;
    std::uint64_t count;
  };

  WordTable();

  // The word is copied if it is new.
  void add(std::string_view word, std::uint64_t hash, std::uint64_t count = 1);

  // Adds all of `other`. No word is copied, its memory is taken over.
  void merge(WordTable other);

  [[nodiscard]] std::uint64_t count(std::string_view word, std::uint64_t hash) const;
  [[nodiscard]] const std::vector<Entry>& entries() const noexcept { return entries_; }

 private:
  struct Slot {
    std::uint32_t tag = 0;     // the upper half of the hash
    std::uint32_t number = 0;  // of the entry, counted from 1; 0: the slot is free
  };

  // The slot where the word is, or the free one where it belongs.
  [[nodiscard]] std::size_t slot_of(std::string_view word, std::uint64_t hash) const;
  void insert(Slot& slot, std::string_view word, std::uint64_t hash, std::uint64_t count);
  void grow();
  std::string_view keep(std::string_view word);

  std::vector<Slot> slots_;  // a power of two, at most half of them taken
  std::vector<Entry> entries_;
  std::vector<std::unique_ptr<char[]>> blocks_;  // the bytes of the words
  std::span<char> room_;                         // what is left of the last block
};

}  // namespace wordfreq
