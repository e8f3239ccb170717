// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// As much of Redis's protocol as PING needs, for the servers in C++.
#pragma once

#include <array>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace bench {

class RedisAnswers {
 public:
  // Where the next bytes are to be put.
  std::span<char> room() { return std::span(buffer_).subspan(had_); }

  // That many were. Answers all commands that are complete now, into out(). False: that was none.
  bool take(std::size_t count) {
    had_ += count;
    std::string_view rest(buffer_.data(), had_);
    while (!rest.empty()) {
      std::string_view name;
      const long used = parse(rest, name);
      if (used < 0) return false;
      if (used == 0) break;
      out_ += name == "PING" ? "+PONG\r\n" : "-ERR unknown command\r\n";
      rest.remove_prefix(static_cast<std::size_t>(used));
    }
    std::memmove(buffer_.data(), rest.data(), rest.size());
    had_ = rest.size();
    return had_ < buffer_.size();
  }

  std::string& out() { return out_; }

 private:
  // "<mark>123\r\n" -> 123, and the text behind it; 0: more is needed, -1: it is none.
  static long number(char mark, std::string_view& text, long& value) {
    if (text.empty()) return 0;
    if (text[0] != mark) return -1;
    const std::size_t end = text.find("\r\n");
    if (end == std::string_view::npos) return 0;
    const auto [last, error] = std::from_chars(text.data() + 1, text.data() + end, value);
    if (error != std::errc() || last != text.data() + end || value < 0) return -1;
    text.remove_prefix(end + 2);
    return 1;
  }

  // An array of bulk strings. Its size, 0 or -1 as above.
  static long parse(std::string_view all, std::string_view& name) {
    std::string_view text = all;
    long count = 0;
    if (const long ok = number('*', text, count); ok <= 0) return ok;
    for (long i = 0; i < count; ++i) {
      long size = 0;
      if (const long ok = number('$', text, size); ok <= 0) return ok;
      if (text.size() < static_cast<std::size_t>(size) + 2) return 0;
      if (i == 0) name = text.substr(0, static_cast<std::size_t>(size));
      text.remove_prefix(static_cast<std::size_t>(size) + 2);
    }
    return static_cast<long>(all.size() - text.size());
  }

  std::array<char, 4096> buffer_;  // NOLINT: filled by reads
  std::size_t had_ = 0;
  std::string out_;
};

}  // namespace bench
