// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include "words.h"

#include <gtest/gtest.h>

#include <cctype>
#include <map>
#include <random>
#include <string>

namespace wordfreq {
namespace {

using WordCounts = std::map<std::string, std::uint64_t>;

WordCounts contents(const WordTable& table) {
  WordCounts counts;
  for (const auto& entry : table.entries()) {
    EXPECT_TRUE(counts.emplace(entry.word, entry.count).second) << entry.word << " is there twice";
    EXPECT_EQ(entry.hash, hash_of(entry.word));
  }
  return counts;
}

WordCounts count(std::string text) {
  WordTable table;
  count_words(text, table);
  return contents(table);
}

TEST(Words, ascii) {
  EXPECT_EQ(count(""), WordCounts{});
  EXPECT_EQ(count(" \n.,-_"), WordCounts{});
  EXPECT_EQ(count("a"), (WordCounts{{"a", 1}}));
  EXPECT_EQ(count("The cat, the CAT and x2-x2"),
            (WordCounts{{"the", 2}, {"cat", 2}, {"and", 1}, {"x2", 2}}));
  EXPECT_EQ(count("@AZ[`az{/09:"), (WordCounts{{"az", 2}, {"09", 1}}));
}

TEST(Words, letters_and_digits_beyond_ascii) {
  EXPECT_EQ(count("\u00e9t\u00e9 \u00c9t\u00e9"),
            (WordCounts{{"\u00e9t\u00e9", 1}, {"\u00c9t\u00e9", 1}}));  // only ASCII is folded
  EXPECT_EQ(count("stra\u00dfe\u2014\u6f22\u5b57\u3002\u0663\u0664"),
            (WordCounts{{"stra\u00dfe", 1}, {"\u6f22\u5b57", 1}, {"\u0663\u0664", 1}}));
  EXPECT_EQ(count("\U00010400x \U0001F600y"), (WordCounts{{"\U00010400x", 1}, {"y", 1}}));
  EXPECT_EQ(count("\u00aa\u00d7\u00bd\u0378"), (WordCounts{{"\u00aa", 1}}));  // No, Sm, unassigned
  EXPECT_EQ(count("\U0002A6DF\U0002A6E0"), (WordCounts{{"\U0002A6DF", 1}}));  // end of a range
}

TEST(Words, invalid_utf8_separates) {
  EXPECT_EQ(count("a\xff"
                  "b"),
            (WordCounts{{"a", 1}, {"b", 1}}));
  EXPECT_EQ(count("a\x80z"), (WordCounts{{"a", 1}, {"z", 1}}));
  EXPECT_EQ(count("x\xc1\xa1y"), (WordCounts{{"x", 1}, {"y", 1}}));          // 'a' in two bytes
  EXPECT_EQ(count("x\xe0\x83\xa9y"), (WordCounts{{"x", 1}, {"y", 1}}));      // e9 in three bytes
  EXPECT_EQ(count("x\xf0\x80\x83\xa9y"), (WordCounts{{"x", 1}, {"y", 1}}));  // e9 in four bytes
  EXPECT_EQ(count("x\xed\xa0\x80y"), (WordCounts{{"x", 1}, {"y", 1}}));      // a surrogate
  EXPECT_EQ(count("x\xf4\x90\x80\x80y"), (WordCounts{{"x", 1}, {"y", 1}}));  // above U+10FFFF
  EXPECT_EQ(count("x\xc3 y"), (WordCounts{{"x", 1}, {"y", 1}}));             // cut off
  EXPECT_EQ(count("x\xe6\xbc"), (WordCounts{{"x", 1}}));                     // cut off at the end
  EXPECT_EQ(count("x\xc3x"), (WordCounts{{"x", 2}}));                        // the byte after lives
}

TEST(Words, of_any_length) {
  WordCounts expected;
  std::string text;
  for (std::size_t size = 1; size < 40; ++size) {
    for (const char last : {'p', 'q'}) {
      const std::string word = std::string(size - 1, 'a') + last;
      text += word + ' ' + word + '\n';
      expected[word] = 2;
    }
  }
  const std::string huge(1'000'000, 'h');
  expected[huge] = 1;
  EXPECT_EQ(count(text + huge), expected);
}

TEST(Words, folds_the_text_in_place) {
  std::string text = "AbC, \u00c9X!";
  WordTable table;
  count_words(text, table);
  EXPECT_EQ(text, "abc, \u00c9x!");
}

TEST(Words, separators) {
  for (int byte = 0; byte < 256; ++byte) {
    const bool ascii_word = byte < 0x80 && std::isalnum(byte) != 0;
    EXPECT_EQ(is_separator(static_cast<char>(byte)), byte < 0x80 && !ascii_word) << byte;
  }
  const std::string text = "ab cd";
  EXPECT_EQ(find_separator(text, 0), 2U);
  EXPECT_EQ(find_separator(text, 2), 2U);
  EXPECT_EQ(find_separator(text, 3), 5U);
  EXPECT_EQ(find_separator(text, 9), 9U);
}

// Against a naive model, with so few letters that words come again and with so many that the table
// grows.
TEST(Words, random) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (const unsigned letters : {1U, 2U, 26U}) {
    std::string text;
    WordCounts expected;
    for (int i = 0; i < 30'000; ++i) {
      std::string word;
      for (auto n = 1 + random() % 20; n > 0; --n) {
        word += static_cast<char>('a' + random() % letters);
      }
      ++expected[word];
      text += word;
      text += " .\n\xff\0"[random() % 5];
    }
    EXPECT_EQ(count(text), expected);
  }
}

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

}  // namespace
}  // namespace wordfreq
