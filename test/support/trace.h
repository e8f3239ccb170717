// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// A trace that start_trace() has written, read back.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
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

struct Slice {
  int group = 0;  // 1: of a thread; 2: a region
  std::uint64_t track = 0;
  double begin = 0;  // microseconds
  double end = 0;
  std::string name;
  std::uint64_t goroutine = 0;
  std::string then;
};

struct Arrow {
  Slice from;
  Slice to;
};

struct Trace {
  std::vector<Slice> slices;
  std::vector<Arrow> arrows;
  std::map<std::pair<int, std::uint64_t>, std::string> tracks;
  std::size_t counters = 0;
  std::uint64_t records = 0;
  std::uint64_t lost = 0;

  [[nodiscard]] std::vector<Slice> named(std::string_view part, int group = 1) const {
    std::vector<Slice> some;
    std::copy_if(slices.begin(), slices.end(), std::back_inserter(some), [&](const Slice& slice) {
      return slice.group == group && slice.name.find(part) != std::string::npos;
    });
    return some;
  }
  [[nodiscard]] bool has_arrow(std::string_view from, std::string_view to) const {
    return std::any_of(arrows.begin(), arrows.end(), [&](const Arrow& arrow) {
      return arrow.from.name.find(from) != std::string::npos &&
             arrow.to.name.find(to) != std::string::npos;
    });
  }
};

namespace internal {

// Times have three decimals; sums of them as doubles a little more or less.
inline constexpr double kSame = 0.0005;

inline bool is_goroutine(const Slice& slice) { return slice.group == 1 && slice.goroutine != 0; }

inline bool is_empty(const Slice& slice) { return slice.end - slice.begin < kSame; }

// On one track: each begins when the one before it has ended, or lies inside of it.
inline void check_nesting(std::vector<Slice> slices) {
  std::stable_sort(slices.begin(), slices.end(), [](const Slice& a, const Slice& b) {
    if (a.begin != b.begin) {
      return a.begin < b.begin;
    }
    bool const empty = is_goroutine(a) && is_empty(a);
    return empty != (is_goroutine(b) && is_empty(b)) ? empty : a.end > b.end;
  });
  std::vector<Slice> open;
  for (const Slice& slice : slices) {
    while (!open.empty() && open.back().end <= slice.begin + kSame) {
      open.pop_back();
    }
    if (!open.empty()) {
      ASSERT_LE(slice.end, open.back().end + kSame)
          << slice.name << " overlaps " << open.back().name << " at " << slice.begin;
      ASSERT_FALSE(is_goroutine(slice) && is_goroutine(open.back()))
          << slice.name << " runs inside of " << open.back().name << " at " << slice.begin;
    }
    open.push_back(slice);
  }
}

// The innermost of the track's that is there at that time; the slices by their beginning. Where one
// ends and the next begins at once: `first`, or the second.
inline const Slice* slice_at(const std::vector<Slice>& slices, double time, bool first) {
  auto at =
      std::upper_bound(slices.begin(), slices.end(), time + kSame,
                       [](double moment, const Slice& slice) { return moment < slice.begin; });
  const Slice* found = nullptr;
  for (int back = 0; at != slices.begin() && back < 1000; ++back) {
    --at;
    if (at->end >= time - kSame) {
      found = &*at;
      if (!first || at->begin < time - kSame) {
        break;
      }
    }
  }
  return found;
}

}  // namespace internal

// Checks what every trace must be, too.
inline Trace read_trace(const std::string& path) {
  Trace trace;
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  EXPECT_EQ(line, R"({"displayTimeUnit":"ns","traceEvents":[)");
  struct End {
    int group;
    std::uint64_t track;
    double time;
  };
  std::map<std::uint64_t, End> begins;
  std::map<std::uint64_t, End> ends;
  std::map<std::pair<int, std::uint64_t>, std::vector<Slice>> by_track;
  // Each event is a line, so that a long file need not be in memory as a whole.
  for (bool more = true; std::getline(file, line) && more;) {
    more = line.ends_with(',');
    bool failed = false;
    Json const event = Json::parse(std::string_view(line).substr(0, line.size() - more), failed);
    EXPECT_FALSE(failed) << "no JSON: " << line;
    std::string const& phase = event["ph"].text();
    auto const group = static_cast<int>(event["pid"].number());
    auto const track = static_cast<std::uint64_t>(event["tid"].number());
    auto const id = static_cast<std::uint64_t>(event["id"].number());
    double const time = event["ts"].number();
    if (phase == "X") {
      const Json& arguments = event["args"];
      Slice slice{group,
                  track,
                  time,
                  time + event["dur"].number(),
                  event["name"].text(),
                  static_cast<std::uint64_t>(arguments["goroutine"].number()),
                  arguments["then"].text()};
      EXPECT_TRUE(event.has("dur"));
      EXPECT_GE(event["dur"].number(), 0);
      EXPECT_GE(time, 0);
      by_track[{group, track}].push_back(slice);
      trace.slices.push_back(std::move(slice));
    } else if (phase == "s") {
      EXPECT_TRUE(begins.emplace(id, End{group, track, time}).second) << "two arrows " << id;
    } else if (phase == "f") {
      EXPECT_TRUE(ends.emplace(id, End{group, track, time}).second) << "two arrows " << id;
    } else if (phase == "C") {
      ++trace.counters;
      EXPECT_GE(event["args"]["all"].number(), 0);
    } else {
      EXPECT_EQ(phase, "M");
      if (event["name"].text() == "thread_name") {
        trace.tracks[{group, track}] = event["args"]["name"].text();
      }
    }
  }
  EXPECT_TRUE(line.starts_with("],")) << line;
  bool failed = false;
  Json const about = Json::parse("{" + line.substr(line.find('"')), failed);
  EXPECT_FALSE(failed) << line;
  for (auto& [track, slices] : by_track) {
    EXPECT_TRUE(trace.tracks.count(track)) << "a track without a name";
    internal::check_nesting(slices);
    std::stable_sort(slices.begin(), slices.end(),
                     [](const Slice& a, const Slice& b) { return a.begin < b.begin; });
  }
  EXPECT_EQ(begins.size(), ends.size());
  // Of many, some: each is a search.
  std::size_t const step = 1 + begins.size() / 1000;
  std::size_t count = 0;
  for (auto const& [id, from] : begins) {
    auto const found = ends.find(id);
    if (found == ends.end()) {
      ADD_FAILURE() << "an arrow without end";
      continue;
    }
    if (count++ % step != 0) {
      continue;
    }
    const End& to = found->second;
    const Slice* const a = internal::slice_at(by_track[{from.group, from.track}], from.time, true);
    const Slice* const b = internal::slice_at(by_track[{to.group, to.track}], to.time, false);
    EXPECT_TRUE(a != nullptr && b != nullptr) << "an arrow from or to no slice";
    EXPECT_LE(from.time, to.time + internal::kSame);
    if (a != nullptr && b != nullptr) {
      trace.arrows.push_back({*a, *b});
    }
  }
  trace.records = std::strtoull(about["otherData"]["records"].text().c_str(), nullptr, 10);
  trace.lost = std::strtoull(about["otherData"]["lost"].text().c_str(), nullptr, 10);
  return trace;
}

}  // namespace hamgam::test
