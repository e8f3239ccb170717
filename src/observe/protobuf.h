// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// A message in the wire format of Protocol Buffers, as far as it is needed here.
class Protobuf {
 public:
  Protobuf& number(unsigned field, std::uint64_t value) {
    varint(std::uint64_t{field} << 3);
    varint(value);
    return *this;
  }
  // Bytes, a string, or another message.
  Protobuf& bytes(unsigned field, std::string_view value) {
    varint(std::uint64_t{field} << 3 | 2);
    varint(value.size());
    text_ += value;
    return *this;
  }
  // A fixed64.
  Protobuf& fixed(unsigned field, std::uint64_t value) {
    varint(std::uint64_t{field} << 3 | 1);
    for (unsigned byte = 0; byte < 8; ++byte) {
      text_ += static_cast<char>(value >> 8 * byte);
    }
    return *this;
  }
  Protobuf& message(unsigned field, const Protobuf& value) { return bytes(field, value.text_); }

  // One of several numbers that are packed together: bytes() of them all.
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) {
      text_ += static_cast<char>(value | 0x80);
    }
    text_ += static_cast<char>(value);
  }

  void clear() noexcept { text_.clear(); }
  [[nodiscard]] const std::string& text() const noexcept { return text_; }

 private:
  std::string text_;
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
