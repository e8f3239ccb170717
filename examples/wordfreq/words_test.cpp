// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include "words.h"

#include <gtest/gtest.h>

#include <cctype>
#include <cstdint>
#include <map>
#include <random>
#include <string>

namespace wordfreq {
namespace {

using Expected = std::map<std::string, std::uint64_t>;

Expected count(std::string text) {
  WordCounts counts;
  count_words(text, counts);
  Expected found;
  for (const auto& entry : counts.top(SIZE_MAX)) {
    EXPECT_TRUE(found.emplace(entry.word, entry.count).second) << entry.word << " is there twice";
    EXPECT_EQ(entry.hash, hash_of(entry.word));
  }
  EXPECT_EQ(counts.distinct(), found.size());
  return found;
}

TEST(Words, ascii) {
  EXPECT_EQ(count(""), Expected{});
  EXPECT_EQ(count(" \n.,-_"), Expected{});
  EXPECT_EQ(count("a"), (Expected{{"a", 1}}));
  EXPECT_EQ(count("The cat, the CAT and x2-x2"),
            (Expected{{"the", 2}, {"cat", 2}, {"and", 1}, {"x2", 2}}));
  EXPECT_EQ(count("@AZ[`az{/09:"), (Expected{{"az", 2}, {"09", 1}}));
}

TEST(Words, letters_and_digits_beyond_ascii) {
  EXPECT_EQ(count("\u00e9t\u00e9 \u00c9t\u00e9"),
            (Expected{{"\u00e9t\u00e9", 1}, {"\u00c9t\u00e9", 1}}));  // only ASCII is folded
  EXPECT_EQ(count("stra\u00dfe\u2014\u6f22\u5b57\u3002\u0663\u0664"),
            (Expected{{"stra\u00dfe", 1}, {"\u6f22\u5b57", 1}, {"\u0663\u0664", 1}}));
  EXPECT_EQ(count("\U00010400x \U0001F600y"), (Expected{{"\U00010400x", 1}, {"y", 1}}));
  EXPECT_EQ(count("\u00aa\u00d7\u00bd\u0378"), (Expected{{"\u00aa", 1}}));  // No, Sm, unassigned
  EXPECT_EQ(count("\U0002A6DF\U0002A6E0"), (Expected{{"\U0002A6DF", 1}}));  // end of a range
}

TEST(Words, invalid_utf8_separates) {
  EXPECT_EQ(count("a\xff"
                  "b"),
            (Expected{{"a", 1}, {"b", 1}}));
  EXPECT_EQ(count("a\x80z"), (Expected{{"a", 1}, {"z", 1}}));
  EXPECT_EQ(count("x\xc1\xa1y"), (Expected{{"x", 1}, {"y", 1}}));          // 'a' in two bytes
  EXPECT_EQ(count("x\xe0\x83\xa9y"), (Expected{{"x", 1}, {"y", 1}}));      // e9 in three bytes
  EXPECT_EQ(count("x\xf0\x80\x83\xa9y"), (Expected{{"x", 1}, {"y", 1}}));  // e9 in four bytes
  EXPECT_EQ(count("x\xed\xa0\x80y"), (Expected{{"x", 1}, {"y", 1}}));      // a surrogate
  EXPECT_EQ(count("x\xf4\x90\x80\x80y"), (Expected{{"x", 1}, {"y", 1}}));  // above U+10FFFF
  EXPECT_EQ(count("x\xc3 y"), (Expected{{"x", 1}, {"y", 1}}));             // cut off
  EXPECT_EQ(count("x\xe6\xbc"), (Expected{{"x", 1}}));                     // cut off at the end
  EXPECT_EQ(count("x\xc3x"), (Expected{{"x", 2}}));                        // the byte after lives
}

TEST(Words, of_any_length) {
  Expected expected;
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
  WordCounts counts;
  count_words(text, counts);
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
    Expected expected;
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

}  // namespace
}  // namespace wordfreq
