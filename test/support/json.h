// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hamgam::test {

// JSON, as strict as need be: anything else than one whole value fails.
class Json {
 public:
  enum Kind { kNull, kBool, kNumber, kString, kArray, kObject };

  // Null, and `failed`, if the text is no JSON.
  static Json parse(std::string_view text, bool& failed) {
    Parser parser{text, false};
    Json value = parser.value();
    parser.skip_blanks();
    failed = parser.failed || !parser.text.empty();
    return failed ? Json() : std::move(value);
  }

  [[nodiscard]] Kind kind() const { return kind_; }
  [[nodiscard]] double number() const { return number_; }
  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] const std::vector<Json>& items() const { return items_; }
  // Of an object; null if there is none.
  [[nodiscard]] const Json& operator[](std::string_view name) const {
    static const Json kNone;
    const Json* const found = find(name);
    return found != nullptr ? *found : kNone;
  }
  [[nodiscard]] bool has(std::string_view name) const { return find(name) != nullptr; }

 private:
  struct Parser {
    std::string_view text;
    bool failed;

    void skip_blanks() {
      while (!text.empty() && std::string_view(" \n\r\t").find(text.front()) != text.npos) {
        text.remove_prefix(1);
      }
    }
    bool take(char c) {
      skip_blanks();
      if (text.empty() || text.front() != c) {
        return false;
      }
      text.remove_prefix(1);
      return true;
    }
    void want(char c) { failed = !take(c) || failed; }

    std::string string() {
      std::string out;
      want('"');
      while (!failed && !text.empty() && text.front() != '"') {
        char const c = text.front();
        failed = static_cast<unsigned char>(c) < 0x20;
        text.remove_prefix(1);
        if (c != '\\') {
          out += c;
        } else if (!text.empty() && text.front() == 'u' && text.size() >= 5) {
          out += static_cast<char>(std::stoi(std::string(text.substr(1, 4)), nullptr, 16));
          text.remove_prefix(5);
        } else if (!text.empty()) {
          out += text.front();
          text.remove_prefix(1);
        }
      }
      want('"');
      return out;
    }

    Json value() {
      Json value;
      skip_blanks();
      if (failed || text.empty()) {
        failed = true;
      } else if (text.front() == '"') {
        value.kind_ = kString;
        value.text_ = string();
      } else if (take('[')) {
        value.kind_ = kArray;
        if (!take(']')) {
          do {
            value.items_.push_back(this->value());
          } while (!failed && take(','));
          want(']');
        }
      } else if (take('{')) {
        value.kind_ = kObject;
        if (!take('}')) {
          do {
            skip_blanks();
            std::string name = string();
            want(':');
            failed = value.has(name) || failed;
            value.members_.emplace_back(std::move(name), this->value());
          } while (!failed && take(','));
          want('}');
        }
      } else {
        std::string const rest(text.substr(0, 40));
        char* end = nullptr;
        value.kind_ = kNumber;
        value.number_ = std::strtod(rest.c_str(), &end);
        failed = end == rest.c_str();
        text.remove_prefix(static_cast<std::size_t>(end - rest.c_str()));
      }
      return value;
    }
  };

  [[nodiscard]] const Json* find(std::string_view name) const {
    auto const found = std::find_if(members_.begin(), members_.end(),
                                    [name](const auto& member) { return member.first == name; });
    return found != members_.end() ? &found->second : nullptr;
  }

  Kind kind_ = kNull;
  double number_ = 0;
  std::string text_;
  std::vector<Json> items_;
  std::vector<std::pair<std::string, Json>> members_;
};

}  // namespace hamgam::test
