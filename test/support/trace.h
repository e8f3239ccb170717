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
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/json.h"
#include "support/wire.h"

namespace hamgam::test {

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

// What a file says, before it is looked at as a whole.
struct TraceParts {
  struct End {
    int group;
    std::uint64_t track;
    double time;
  };
  Trace trace;
  std::map<std::uint64_t, End> begins;  // of arrows
  std::map<std::uint64_t, End> ends;

  void add(std::map<std::uint64_t, End>& to, std::uint64_t arrow, const End& end) {
    EXPECT_TRUE(to.emplace(arrow, end).second) << "two arrows " << arrow;
  }
};

inline Trace checked(TraceParts parts) {
  Trace& trace = parts.trace;
  std::map<std::pair<int, std::uint64_t>, std::vector<Slice>> by_track;
  for (const Slice& slice : trace.slices) {
    by_track[{slice.group, slice.track}].push_back(slice);
  }
  for (auto& [track, slices] : by_track) {
    EXPECT_TRUE(trace.tracks.count(track)) << "a track without a name";
    check_nesting(slices);
    std::stable_sort(slices.begin(), slices.end(),
                     [](const Slice& a, const Slice& b) { return a.begin < b.begin; });
  }
  EXPECT_EQ(parts.begins.size(), parts.ends.size());
  // Of many, some: each is a search.
  std::size_t const step = 1 + parts.begins.size() / 1000;
  std::size_t count = 0;
  for (auto const& [id, from] : parts.begins) {
    auto const found = parts.ends.find(id);
    if (found == parts.ends.end()) {
      ADD_FAILURE() << "an arrow without end";
      continue;
    }
    if (count++ % step != 0) {
      continue;
    }
    const TraceParts::End& to = found->second;
    const Slice* const a = slice_at(by_track[{from.group, from.track}], from.time, true);
    const Slice* const b = slice_at(by_track[{to.group, to.track}], to.time, false);
    EXPECT_TRUE(a != nullptr && b != nullptr) << "an arrow from or to no slice";
    EXPECT_LE(from.time, to.time + kSame);
    if (a != nullptr && b != nullptr) {
      trace.arrows.push_back({*a, *b});
    }
  }
  return std::move(trace);
}

inline Trace read_json_trace(const std::string& path) {
  TraceParts parts;
  Trace& trace = parts.trace;
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  EXPECT_EQ(line, R"({"displayTimeUnit":"ns","traceEvents":[)");
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
      EXPECT_TRUE(event.has("dur"));
      EXPECT_GE(event["dur"].number(), 0);
      EXPECT_GE(time, 0);
      trace.slices.push_back(
          {group, track, time, time + event["dur"].number(), event["name"].text(),
           static_cast<std::uint64_t>(arguments["goroutine"].number()), arguments["then"].text()});
    } else if (phase == "s") {
      parts.add(parts.begins, id, {group, track, time});
    } else if (phase == "f") {
      parts.add(parts.ends, id, {group, track, time});
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
  trace.records = std::strtoull(about["otherData"]["records"].text().c_str(), nullptr, 10);
  trace.lost = std::strtoull(about["otherData"]["lost"].text().c_str(), nullptr, 10);
  return checked(std::move(parts));
}

// Packets, most of them in compressed ones: protos/perfetto/trace/perfetto_trace.proto.
class PerfettoReader {
 public:
  Trace read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::string const text((std::istreambuf_iterator<char>(file)), {});
    packets(text);
    for (auto const& [track, open] : open_) {
      EXPECT_TRUE(open.empty()) << "a slice without end";
    }
    return checked(std::move(parts_));
  }

 private:
  struct Track {
    int group = 0;
    std::uint64_t number = 0;
    bool counts = false;
    double last = 0;
  };
  using Strings = std::map<std::uint64_t, std::string>;

  void packets(std::string_view text) {
    for (const WireField& field : fields_of(text)) {
      EXPECT_EQ(field.number, 1U);
      packet(field.bytes);
    }
  }

  void packet(std::string_view text) {
    double time = -1;
    std::uint64_t sequence = 0;
    std::uint64_t flags = 0;
    std::string_view event;
    std::string_view strings;
    for (const WireField& field : fields_of(text)) {
      switch (field.number) {
        case 8:
          time = static_cast<double>(field.value) / 1000;
          break;
        case 10:
          sequence = field.value;
          break;
        case 11:
          event = field.bytes;
          break;
        case 12:
          strings = field.bytes;
          break;
        case 13:
          flags = field.value;
          break;
        case 50:
          packets(inflated(field.bytes));
          return;
        case 60:
          describe(field.bytes);
          break;
        default:
          ADD_FAILURE() << "field " << field.number << " of a packet";
      }
    }
    EXPECT_EQ(sequence, 1U);
    if (event.empty()) {
      return;
    }
    if ((flags & 1) != 0) {
      strings_.clear();
    }
    EXPECT_TRUE((flags & 2) != 0);
    EXPECT_TRUE(!std::exchange(first_, false) || (flags & 1) != 0);
    for (const WireField& field : fields_of(strings)) {
      Strings& table = strings_[field.number];
      EXPECT_TRUE(
          table.emplace(number_in(field.bytes, 1), std::string(bytes_in(field.bytes, 2))).second);
    }
    tell(time, event);
  }

  void describe(std::string_view text) {
    std::uint64_t const uuid = number_in(text, 1);
    Track track;
    std::string_view const thread = bytes_in(text, 4);
    track.group = static_cast<int>(thread.empty() ? number_in(text, 5) : number_in(thread, 1));
    track.number = thread.empty() ? uuid : number_in(thread, 2);
    for (const WireField& field : fields_of(text)) {
      track.counts = track.counts || field.number == 8;
    }
    EXPECT_TRUE(tracks_.emplace(uuid, track).second) << "a track twice";
    if (track.group != 0 && !track.counts) {
      parts_.trace.tracks[{track.group, track.number}] =
          thread.empty() ? bytes_in(text, 2) : bytes_in(thread, 5);
    }
  }

  const std::string& string(unsigned table, std::uint64_t number) {
    auto const found = strings_[table].find(number);
    EXPECT_NE(found, strings_[table].end()) << "a string that was not told";
    static const std::string kNone;
    return found != strings_[table].end() ? found->second : kNone;
  }

  void tell(double time, std::string_view event) {
    std::uint64_t type = 0;
    std::uint64_t uuid = 0;
    Slice slice;
    std::uint64_t leaves = 0;
    std::uint64_t comes = 0;
    std::uint64_t records = 0;
    std::uint64_t lost = 0;
    for (const WireField& field : fields_of(event)) {
      switch (field.number) {
        case 4: {
          std::string const& name = string(3, number_in(field.bytes, 1));
          (name == "goroutine" ? slice.goroutine
           : name == "lost"    ? lost
                               : records) = number_in(field.bytes, 3);
          if (name == "then") {
            slice.then = string(29, number_in(field.bytes, 17));
          }
          break;
        }
        case 9:
          type = field.value;
          break;
        case 10:
          slice.name = string(2, field.value);
          break;
        case 11:
          uuid = field.value;
          break;
        case 30:
          EXPECT_GE(static_cast<std::int64_t>(field.value), 0);
          break;
        case 47:
          leaves = field.value;
          break;
        case 48:
          comes = field.value;
          break;
        default:
          ADD_FAILURE() << "field " << field.number << " of an event";
      }
    }
    ASSERT_TRUE(tracks_.count(uuid)) << "no such track: " << uuid;
    Track& track = tracks_[uuid];
    EXPECT_GE(time, track.last) << "not by time";
    track.last = time;
    slice.group = track.group;
    slice.track = track.number;
    slice.begin = slice.end = time;
    std::vector<Slice>& open = open_[uuid];
    if (leaves != 0) {
      parts_.add(parts_.begins, leaves, {track.group, track.number, time});
    }
    if (comes != 0) {
      parts_.add(parts_.ends, comes, {track.group, track.number, time});
    }
    if (type == 1) {
      open.push_back(slice);
    } else if (type == 2) {
      ASSERT_FALSE(open.empty()) << "an end without its slice";
      open.back().end = time;
      open.back().then = slice.then;
      parts_.trace.slices.push_back(open.back());
      open.pop_back();
    } else if (type == 3 && slice.name == "end of trace") {
      parts_.trace.records = records;
      parts_.trace.lost = lost;
    } else if (type == 3) {
      EXPECT_NE(leaves, 0U);
      if (open.empty()) {
        parts_.trace.slices.push_back(slice);
      }
    } else {
      EXPECT_EQ(type, 4U);
      EXPECT_TRUE(track.counts);
      ++parts_.trace.counters;
    }
  }

  TraceParts parts_;
  std::map<unsigned, Strings> strings_;  // by their field
  std::map<std::uint64_t, Track> tracks_;
  std::map<std::uint64_t, std::vector<Slice>> open_;
  bool first_ = true;
};

}  // namespace internal

// Checks what every trace must be, too.
inline Trace read_trace(const std::string& path) {
  return path.ends_with(".json") ? internal::read_json_trace(path)
                                 : internal::PerfettoReader().read(path);
}

}  // namespace hamgam::test
