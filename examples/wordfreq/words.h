// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// What a word is: a maximal run of letters and digits in UTF-8; ASCII letters are folded to lower
// case. Bytes that are not valid UTF-8 separate words.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "word_counts.h"

namespace wordfreq {

// Counts the words of `text` and folds it to lower case in place.
void count_words(std::span<char> text, WordCounts& counts);

// The hash of a word that is already folded.
[[nodiscard]] std::uint64_t hash_of(std::string_view word) noexcept;

// An ASCII byte that belongs to no word. Text may be cut after one: it is never inside a word,
// nor inside the encoding of a code point.
[[nodiscard]] bool is_separator(char byte) noexcept;

// The first separator at `from` or later, or text.size().
[[nodiscard]] std::size_t find_separator(std::span<const char> text, std::size_t from) noexcept;

}  // namespace wordfreq
