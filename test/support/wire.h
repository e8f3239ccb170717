// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// The wire format of Protocol Buffers, and zlib's.

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hamgam::test::internal {

struct WireField {
  unsigned number;
  std::uint64_t value;
  std::string_view bytes;
};

inline std::uint64_t take_varint(std::string_view& rest) {
  std::uint64_t value = 0;
  for (unsigned shift = 0; !rest.empty(); shift += 7) {
    auto const byte = static_cast<unsigned char>(rest.front());
    rest.remove_prefix(1);
    value |= std::uint64_t{byte & 0x7FU} << shift;
    if (byte < 0x80) {
      return value;
    }
  }
  ADD_FAILURE() << "a number without an end";
  return 0;
}

inline std::vector<WireField> fields_of(std::string_view rest) {
  std::vector<WireField> all;
  while (!rest.empty()) {
    std::uint64_t const key = take_varint(rest);
    WireField field{static_cast<unsigned>(key >> 3), 0, {}};
    if ((key & 7) == 0) {
      field.value = take_varint(rest);
    } else if ((key & 7) == 2) {
      std::uint64_t const size = take_varint(rest);
      EXPECT_LE(size, rest.size());
      field.bytes = rest.substr(0, size);
      rest.remove_prefix(field.bytes.size());
    } else if ((key & 7) == 1 && rest.size() >= 8) {
      for (unsigned byte = 8; byte-- != 0;) {
        field.value = field.value << 8 | static_cast<unsigned char>(rest[byte]);
      }
      rest.remove_prefix(8);
    } else {
      ADD_FAILURE() << "wire type " << (key & 7);
      break;
    }
    all.push_back(field);
  }
  return all;
}

// Of the first field with the number.
inline std::uint64_t number_in(std::string_view message, unsigned number) {
  for (const WireField& field : fields_of(message)) {
    if (field.number == number) {
      return field.value;
    }
  }
  return 0;
}

inline std::string_view bytes_in(std::string_view message, unsigned number) {
  for (const WireField& field : fields_of(message)) {
    if (field.number == number) {
      return field.bytes;
    }
  }
  return {};
}

// Of zlib's format one block with fixed codes, which is all that the library writes.
class Inflater {
 public:
  explicit Inflater(std::string_view text) : text_(text) {}

  std::string inflate() {
    EXPECT_TRUE(text_.size() > 6 && text_[0] == 0x78 && (0x7800 + text_[1]) % 31 == 0);
    EXPECT_EQ(take(1), 1U);
    EXPECT_EQ(take(2), 1U);
    while (!bad_) {
      unsigned const symbol = take_symbol();
      if (symbol == 256) {
        break;
      }
      if (symbol < 256) {
        out_ += static_cast<char>(symbol);
      } else {
        copy(symbol - 257);
      }
    }
    at_ = (at_ + 7) / 8 * 8;
    EXPECT_EQ(at_ / 8 + 4, text_.size());
    check();
    EXPECT_FALSE(bad_) << "not what zlib could unpack";
    return out_;
  }

 private:
  unsigned take(unsigned count) {
    unsigned value = 0;
    for (unsigned i = 0; i < count; ++i, ++at_) {
      bad_ = bad_ || at_ / 8 >= text_.size();
      unsigned const byte = bad_ ? 0 : static_cast<unsigned char>(text_[at_ / 8]);
      value |= (byte >> at_ % 8 & 1) << i;
    }
    return value;
  }

  // Codes begin with their highest bit.
  unsigned take_code(unsigned count, unsigned code = 0) {
    for (unsigned i = 0; i < count; ++i) {
      code = code << 1 | take(1);
    }
    return code;
  }

  unsigned take_symbol() {
    unsigned code = take_code(7);
    if (code < 0x18) {
      return 256 + code;
    }
    code = take_code(1, code);
    return code < 0xC0   ? code - 0x30
           : code < 0xC8 ? 280 + code - 0xC0
                         : 144 + take_code(1, code) - 0x190;
  }

  void copy(unsigned symbol) {
    static const unsigned kLengths[] = {3,  4,  5,  6,   7,   8,   9,   10,  11, 13,
                                        15, 17, 19, 23,  27,  31,  35,  43,  51, 59,
                                        67, 83, 99, 115, 131, 163, 195, 227, 258};
    static const unsigned kDistances[] = {
        1,   2,   3,   4,   5,   7,    9,    13,   17,   25,   33,   49,   65,    97,    129,
        193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
    unsigned const length_bits = symbol < 8 || symbol == 28 ? 0 : symbol / 4 - 1;
    bad_ = bad_ || symbol > 28;
    std::size_t const length = bad_ ? 0 : kLengths[symbol] + take(length_bits);
    unsigned const code = take_code(5);
    bad_ = bad_ || code > 29;
    std::size_t const distance = bad_ ? 0 : kDistances[code] + take(code < 4 ? 0 : code / 2 - 1);
    bad_ = bad_ || distance > out_.size();
    for (std::size_t i = 0; i < length && !bad_; ++i) {
      out_ += out_[out_.size() - distance];
    }
  }

  void check() {
    std::uint32_t low = 1;
    std::uint32_t high = 0;
    for (char const c : out_) {
      low = (low + static_cast<unsigned char>(c)) % 65521;
      high = (high + low) % 65521;
    }
    std::uint32_t told = 0;
    for (int i = 0; i < 4; ++i) {
      told = told << 8 | take(8);
    }
    EXPECT_EQ(told, high << 16 | low);
  }

  std::string_view const text_;
  std::size_t at_ = 16;  // bits: behind the head
  bool bad_ = false;
  std::string out_;
};

inline std::string inflated(std::string_view text) { return Inflater(text).inflate(); }

}  // namespace hamgam::test::internal
