// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include "word_counts.h"

#include <algorithm>
#include <utility>

namespace wordfreq {

void WordCounts::merge_shard(std::size_t number, WordCounts& other) {
  shards_[number].merge(std::exchange(other.shards_[number], {}));
}

std::uint64_t WordCounts::words() const {
  std::uint64_t sum = 0;
  for (const auto& shard : shards_) {
    for (const auto& entry : shard.entries()) {
      sum += entry.count;
    }
  }
  return sum;
}

std::uint64_t WordCounts::distinct() const {
  std::uint64_t sum = 0;
  for (const auto& shard : shards_) {
    sum += shard.entries().size();
  }
  return sum;
}

std::vector<WordTable::Entry> WordCounts::top(std::size_t n) const {
  const auto before = [](const WordTable::Entry& a, const WordTable::Entry& b) {
    return a.count != b.count ? a.count > b.count : a.word < b.word;
  };
  std::vector<WordTable::Entry> best;
  for (const auto& shard : shards_) {
    std::vector<WordTable::Entry> some(std::min(n, shard.entries().size()));
    std::ranges::partial_sort_copy(shard.entries(), some, before);
    best.insert(best.end(), some.begin(), some.end());
  }
  std::ranges::sort(best, before);
  best.resize(std::min(n, best.size()));
  return best;
}

bool operator==(const WordCounts& a, const WordCounts& b) {
  return a.distinct() == b.distinct() &&
         std::ranges::all_of(a.shards_, [&](const WordTable& shard) {
           const WordTable& other = b.shards_[static_cast<std::size_t>(&shard - &a.shards_[0])];
           return std::ranges::all_of(shard.entries(), [&](const WordTable::Entry& entry) {
             return other.count(entry.word, entry.hash) == entry.count;
           });
         });
}

}  // namespace wordfreq
