// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "observe/deflate.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <vector>

// One block with DEFLATE's fixed codes (RFC 1951): records of a trace are so much alike that most
// of a packet is a few references to the ones before it. Rejected: codes of its own for each block:
// a tenth smaller, for twice the code. Rejected: zlib: nothing else in the library needs it.

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr std::size_t kFarthest = 32768;
constexpr std::size_t kShortest = 4;
constexpr std::size_t kLongest = 258;
constexpr int kHashBits = 15;
constexpr int kTries = 8;  // of earlier places that begin alike

constexpr std::uint32_t reversed(std::uint32_t code, int length) noexcept {
  std::uint32_t out = 0;
  for (int i = 0; i < length; ++i) {
    out = out << 1 | (code >> i & 1U);
  }
  return out;
}

struct Code {
  std::uint16_t bits;
  std::uint8_t length;
};

constexpr std::array<Code, 288> kSymbols = [] {
  std::array<Code, 288> codes{};
  for (std::uint32_t i = 0; i < 288; ++i) {
    std::uint32_t const code = i < 144   ? 0x30 + i
                               : i < 256 ? 0x190 + i - 144
                               : i < 280 ? i - 256
                                         : 0xC0 + i - 280;
    int const length = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
    codes[i] = {static_cast<std::uint16_t>(reversed(code, length)),
                static_cast<std::uint8_t>(length)};
  }
  return codes;
}();
constexpr std::uint32_t kEnd = 256;

class Deflater {
 public:
  explicit Deflater(std::string_view text)
      : text_(text), newest_(std::size_t{1} << kHashBits, 0), before_(text.size()) {}

  std::string deflate() {
    out_ = {0x78, 0x01};
    put(1, 1);  // the last block,
    put(1, 2);  // with fixed codes
    for (std::size_t at = 0; at < text_.size();) {
      Match const match = find(at);
      std::size_t const length = std::max<std::size_t>(match.length, 1);
      if (match.length == 0) {
        symbol(static_cast<unsigned char>(text_[at]));
      } else {
        put_match(match);
      }
      for (std::size_t i = 0; i < length; ++i) {
        remember(at++);
      }
    }
    symbol(kEnd);
    put(0, 7);  // to the end of the byte
    put_check();
    return std::move(out_);
  }

 private:
  struct Match {
    std::size_t length;
    std::size_t distance;
  };

  // The first bits go into the lowest of a byte.
  void put(std::uint32_t value, int count) {
    bits_ |= std::uint64_t{value} << count_;
    for (count_ += count; count_ >= 8; count_ -= 8) {
      out_ += static_cast<char>(bits_);
      bits_ >>= 8;
    }
  }

  void symbol(std::uint32_t symbol) { put(kSymbols[symbol].bits, kSymbols[symbol].length); }

  void put_match(Match match) {
    auto const length = static_cast<std::uint32_t>(match.length - 3);
    if (length < 8) {
      symbol(257 + length);
    } else if (match.length == kLongest) {
      symbol(285);
    } else {
      auto const extra = static_cast<std::uint32_t>(std::bit_width(length)) - 3;
      symbol(257 + 4 * extra + (length >> extra));
      put(length & ((1U << extra) - 1), static_cast<int>(extra));
    }
    auto const distance = static_cast<std::uint32_t>(match.distance - 1);
    if (distance < 4) {
      put(reversed(distance, 5), 5);
    } else {
      auto const extra = static_cast<std::uint32_t>(std::bit_width(distance)) - 2;
      put(reversed(2 * extra + (distance >> extra), 5), 5);
      put(distance & ((1U << extra) - 1), static_cast<int>(extra));
    }
  }

  [[nodiscard]] std::size_t hash(std::size_t at) const noexcept {
    std::uint32_t word;
    std::memcpy(&word, text_.data() + at, sizeof word);
    return word * 0x9E3779B1U >> (32 - kHashBits);
  }

  // Places count from 1.
  void remember(std::size_t at) noexcept {
    if (at + kShortest <= text_.size()) {
      std::uint32_t& newest = newest_[hash(at)];
      before_[at] = newest;
      newest = static_cast<std::uint32_t>(at) + 1;
    }
  }

  [[nodiscard]] Match find(std::size_t at) const noexcept {
    Match best{0, 0};
    if (at + kShortest > text_.size()) {
      return best;
    }
    std::size_t const most = std::min(kLongest, text_.size() - at);
    std::uint32_t place = newest_[hash(at)];
    for (int tries = 0; tries < kTries && place != 0 && best.length < most; ++tries) {
      std::size_t const start = place - 1;
      if (at - start > kFarthest) {
        break;
      }
      std::size_t length = 0;
      while (length < most && text_[start + length] == text_[at + length]) {
        ++length;
      }
      if (length >= kShortest && length > best.length) {
        best = {length, at - start};
      }
      place = before_[start];
    }
    return best;
  }

  // Adler-32.
  void put_check() {
    constexpr std::uint32_t kPrime = 65521;
    std::uint32_t low = 1;
    std::uint32_t high = 0;
    for (char const c : text_) {
      low = (low + static_cast<unsigned char>(c)) % kPrime;
      high = (high + low) % kPrime;
    }
    for (std::uint32_t const part : {high >> 8, high, low >> 8, low}) {
      out_ += static_cast<char>(part);
    }
  }

  std::string_view const text_;
  std::vector<std::uint32_t> newest_;  // where something with that hash is
  std::vector<std::uint32_t> before_;  // the one before it
  std::string out_;
  std::uint64_t bits_ = 0;
  int count_ = 0;
};

}  // namespace

std::string deflated(std::string_view text) { return Deflater(text).deflate(); }

}  // namespace hamgam::inline HAMGAM_ABI::detail
