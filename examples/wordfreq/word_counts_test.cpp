// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include "word_counts.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "words.h"

namespace wordfreq {
namespace {

TEST(WordTable, add_and_count) {
  WordTable table;
  EXPECT_EQ(table.count("one", hash_of("one")), 0U);
  table.add("one", hash_of("one"), 5);
  table.add("one", hash_of("one"));
  EXPECT_EQ(table.count("one", hash_of("one")), 6U);
  EXPECT_EQ(table.count("two", hash_of("two")), 0U);
}

// Words whose hashes are the same are still different words.
TEST(WordTable, equal_hashes) {
  WordTable table;
  table.add("a long word of one kind", 42, 1);
  table.add("a long word of next one", 42, 2);
  table.add("short", 42, 3);
  EXPECT_EQ(table.count("a long word of one kind", 42), 1U);
  EXPECT_EQ(table.count("a long word of next one", 42), 2U);
  EXPECT_EQ(table.count("short", 42), 3U);
  EXPECT_EQ(table.entries().size(), 3U);
}

TEST(WordTable, merge) {
  for (const int in_one : {10, 1000}) {  // the smaller and the larger one
    WordTable one;
    WordTable other;
    for (int i = 0; i < in_one; ++i) {
      const std::string word = "word number " + std::to_string(i);
      one.add(word, hash_of(word), 1);
    }
    for (int i = 5; i < 300; ++i) {
      const std::string word = "word number " + std::to_string(i);
      other.add(word, hash_of(word), 2);
    }
    one.merge(std::move(other));
    for (int i = 0; i < 1100; ++i) {
      const std::string word = "word number " + std::to_string(i);
      const unsigned expected = (i < in_one ? 1U : 0U) + (i >= 5 && i < 300 ? 2U : 0U);
      EXPECT_EQ(one.count(word, hash_of(word)), expected) << word;
    }
  }
}

WordCounts counts_of(std::string text) {
  WordCounts counts;
  count_words(text, counts);
  return counts;
}

TEST(WordCounts, top) {
  const WordCounts counts = counts_of("d c b a c b a b a a e");
  std::string text;
  for (const auto& entry : counts.top(4)) {
    text += std::string(entry.word) + std::to_string(entry.count) + ' ';
  }
  EXPECT_EQ(text, "a4 b3 c2 d1 ");
  EXPECT_TRUE(counts.top(0).empty());
  EXPECT_EQ(counts.top(99).size(), 5U);
  EXPECT_EQ(counts.words(), 11U);
  EXPECT_EQ(counts.distinct(), 5U);
}

TEST(WordCounts, equal) {
  EXPECT_EQ(counts_of("a b b"), counts_of("b a b"));
  EXPECT_FALSE(counts_of("a b b") == counts_of("a a b"));
  EXPECT_FALSE(counts_of("a b") == counts_of("a b c"));
  EXPECT_FALSE(counts_of("a b") == counts_of("a c"));
}

TEST(WordCounts, merge) {
  WordCounts one = counts_of("the cat and the dog");
  WordCounts other = counts_of("the mouse and I");
  for (std::size_t shard = 0; shard < WordCounts::kShards; ++shard) {
    one.merge_shard(shard, other);
  }
  EXPECT_EQ(one, counts_of("the cat and the dog the mouse and I"));
}

}  // namespace
}  // namespace wordfreq
