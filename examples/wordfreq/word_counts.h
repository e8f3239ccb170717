// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Every word and how often it occurs.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "word_table.h"

namespace wordfreq {

// A table in shards, each for the words whose hashes begin with the same four bits: so that several
// goroutines can merge at once, each its own shards.
class WordCounts {
 public:
  static constexpr std::size_t kShards = 16;

  void add(std::string_view word, std::uint64_t hash) { shards_[hash >> 60].add(word, hash); }

  // Adds the shard of that number of `other` to this one's.
  void merge_shard(std::size_t number, WordCounts& other);

  [[nodiscard]] std::uint64_t words() const;
  [[nodiscard]] std::uint64_t distinct() const;
  [[nodiscard]] std::vector<WordTable::Entry> top(std::size_t n) const;  // most frequent first
  friend bool operator==(const WordCounts&, const WordCounts&);

 private:
  std::array<WordTable, kShards> shards_;
};

}  // namespace wordfreq
