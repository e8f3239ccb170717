// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include "words.h"

#include <algorithm>
#include <array>

#include "letters.h"

namespace wordfreq {
namespace {

using Byte = unsigned char;

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

// Takes a word eight bytes at a time. No byte of a word is 0 and every step can be undone: hence
// kExactSize.
class Hasher {
 public:
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

void count_words(std::span<char> text, WordCounts& counts) {
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
      counts.add({reinterpret_cast<const char*>(begin), static_cast<std::size_t>(p - begin)},
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
