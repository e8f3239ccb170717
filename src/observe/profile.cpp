// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "observe/profile.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <map>
#include <ostream>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "observe/protobuf.h"
#include "os/mappings.h"
#include "sched/dump.h"
#include "sched/snapshot.h"
#include "wait/wait_profile.h"

// Profiles as Go's runtime/pprof writes them: the text is that of debug=1, the other form is
// github.com/google/pprof/proto/profile.proto, which may be uncompressed. Names of functions are in
// it, since the program may be far away when it is looked at; and where its files were mapped, so
// that `go tool pprof -symbolize=force` finds lines and inlined functions.

namespace hamgam::inline HAMGAM_ABI {

namespace {

using namespace detail;
using observe::Profile;
using observe::ProfileFormat;

// Stacks without the library's own functions at their ends, and what is counted of each.
struct Stack {
  std::vector<const void*> frames;  // return addresses, innermost first
  const char* label;                // what was waited for, or is done; null: none
  auto operator<=>(const Stack&) const = default;
};
struct Sums {
  double count = 0;
  double delay = 0;
};
using Entry = std::pair<Stack, Sums>;

class Collected {
 public:
  explicit Collected(Profile profile) : profile_(profile) {
    if (profile == Profile::goroutine) {
      add_goroutines();
    } else {
      bool const block = profile == Profile::block;
      for (WaitSample& sample : wait_samples(block ? WaitProfile::kBlock : WaitProfile::kMutex)) {
        add(std::move(sample.frames), sample.cut, nullptr, sample.reason,
            {sample.count, sample.delay});
      }
    }
    entries_.assign(sums_.begin(), sums_.end());
    std::stable_sort(entries_.begin(), entries_.end(), [&](const Entry& a, const Entry& b) {
      return weight(a.second) > weight(b.second);
    });
  }

  [[nodiscard]] std::string text();
  [[nodiscard]] std::string proto();

 private:
  [[nodiscard]] bool has_delay() const noexcept { return profile_ != Profile::goroutine; }
  [[nodiscard]] double weight(const Sums& sums) const noexcept {
    return has_delay() ? sums.delay : sums.count;
  }
  static std::uint64_t whole(double number) noexcept {
    return static_cast<std::uint64_t>(std::llround(std::min(number, 9e18)));
  }

  // `otherwise`: the only frame if there is none to be seen.
  void add(std::vector<const void*> frames, bool cut, const void* otherwise, const char* label,
           Sums sums) {
    Snapshot::Group group;
    group.frames = std::move(frames);
    group.cut = cut;
    auto const [first, end] = shown_frames(group, symbols_);
    Stack stack{{}, label};
    stack.frames.assign(group.frames.begin() + static_cast<std::ptrdiff_t>(first),
                        group.frames.begin() + static_cast<std::ptrdiff_t>(end));
    if (stack.frames.empty() && otherwise != nullptr) {
      stack.frames.push_back(otherwise);
    }
    Sums& all = sums_[std::move(stack)];
    all.count += sums.count;
    all.delay += sums.delay;
  }

  // One whose stack is not to be had stands where it was created.
  void add_goroutines() {
    Snapshot snapshot = take_snapshot(Ask::kThreads);
    for (Snapshot::Group& group : snapshot.groups) {
      add(std::move(group.frames), group.cut, group.created_at, group.state,
          {static_cast<double>(group.members.size()), 0});
    }
  }

  static const void* call_of(const void* frame) noexcept {
    return static_cast<const char*>(frame) - 1;
  }

  Profile const profile_;
  Symbols symbols_;
  std::map<Stack, Sums> sums_;
  std::vector<Entry> entries_;
};

std::string Collected::text() {
  char line[128];
  std::string out;
  if (has_delay()) {
    out = profile_ == Profile::block ? "--- contention:\ncycles/second=1000000000\n"
                                     : "--- mutex:\ncycles/second=1000000000\nsampling period=1\n";
  } else {
    double total = 0;
    for (const Entry& entry : entries_) {
      total += entry.second.count;
    }
    out = "goroutine profile: total " + std::to_string(whole(total)) + "\n";
  }
  for (const auto& [stack, sums] : entries_) {
    if (has_delay()) {
      out += std::to_string(whole(sums.delay)) + " ";
    }
    out += std::to_string(whole(sums.count)) + " @";
    for (const void* frame : stack.frames) {
      std::snprintf(line, sizeof line, " %p", frame);
      out += line;
    }
    out += "\n";
    if (stack.label != nullptr) {
      out += std::string("# labels: {\"wait\":\"") + stack.label + "\"}\n";
    }
    for (const void* frame : stack.frames) {
      const Symbols::Place& place = symbols_.at(call_of(frame));
      std::snprintf(line, sizeof line, "#\t%p\t", call_of(frame));
      out += line + place.function + "\t" + place.where + "\n";
    }
    out += "\n";
  }
  return out;
}

// The tables of a profile that its samples refer to.
class Tables {
 public:
  explicit Tables(Symbols& symbols) : symbols_(symbols), mappings_(code_mappings()) {
    (void)string("");
    for (std::size_t i = 0; i < mappings_.size(); ++i) {
      const Mapping& one = mappings_[i];
      out_.message(3, Protobuf()
                          .number(1, i + 1)
                          .number(2, one.start)
                          .number(3, one.end)
                          .number(4, one.offset)
                          .number(5, string(one.file))
                          .number(7, 1));  // has_functions
    }
  }

  std::uint64_t string(std::string_view text) {
    return strings_.try_emplace(std::string(text), strings_.size()).first->second;
  }

  std::uint64_t location(const void* address) {
    auto const [place, fresh] = locations_.try_emplace(address, locations_.size() + 1);
    if (fresh) {
      auto const at = reinterpret_cast<std::uintptr_t>(address);
      Protobuf location;
      location.number(1, place->second);
      for (std::size_t i = 0; i < mappings_.size(); ++i) {
        if (at >= mappings_[i].start && at < mappings_[i].end) {
          location.number(2, i + 1);
        }
      }
      location.number(3, at).message(4, Protobuf().number(1, function(address)));
      out_.message(4, location);
    }
    return place->second;
  }

  // What is in them, to be appended to the message.
  std::string finish() {
    std::vector<const std::string*> all(strings_.size());
    for (const auto& [text, place] : strings_) {
      all[place] = &text;
    }
    for (const std::string* text : all) {
      out_.bytes(6, *text);
    }
    return out_.text();
  }

 private:
  std::uint64_t function(const void* address) {
    const Symbols::Place& place = symbols_.at(address);
    std::string const& name = place.function == "??" ? place.where : place.function;
    auto const [known, fresh] = functions_.try_emplace(name, functions_.size() + 1);
    if (fresh) {
      std::uint64_t const text = string(name);
      out_.message(5, Protobuf().number(1, known->second).number(2, text).number(3, text));
    }
    return known->second;
  }

  Symbols& symbols_;
  std::vector<Mapping> const mappings_;
  std::unordered_map<std::string, std::uint64_t> strings_;
  std::unordered_map<const void*, std::uint64_t> locations_;
  std::unordered_map<std::string, std::uint64_t> functions_;
  Protobuf out_;
};

std::string Collected::proto() {
  Tables tables(symbols_);
  Protobuf out;
  auto const type = [&](const char* what, const char* unit) {
    return Protobuf().number(1, tables.string(what)).number(2, tables.string(unit));
  };
  out.message(1, type(has_delay() ? "contentions" : "goroutine", "count"));
  if (has_delay()) {
    out.message(1, type("delay", "nanoseconds"));
  }
  for (const auto& [stack, sums] : entries_) {
    Protobuf places;
    for (const void* frame : stack.frames) {
      places.varint(tables.location(call_of(frame)));
    }
    Protobuf values;
    values.varint(whole(sums.count));
    if (has_delay()) {
      values.varint(whole(sums.delay));
    }
    Protobuf sample;
    sample.bytes(1, places.text()).bytes(2, values.text());
    if (stack.label != nullptr) {
      sample.message(
          3, Protobuf().number(1, tables.string("wait")).number(2, tables.string(stack.label)));
    }
    out.message(2, sample);
  }
  auto const time = std::chrono::system_clock::now().time_since_epoch();
  out.number(9, static_cast<std::uint64_t>(
                    std::chrono::duration_cast<std::chrono::nanoseconds>(time).count()));
  out.message(11, type(has_delay() ? "contentions" : "goroutine", "count")).number(12, 1);
  return out.text() + tables.finish();
}

}  // namespace

std::string detail::profile_text(Profile profile, ProfileFormat format) {
  TsanHide const hide;
  Collected collected(profile);
  return format == ProfileFormat::text ? collected.text() : collected.proto();
}

namespace observe {

void profile_waits(bool on) { detail::profile_waits(on); }

void write_profile(Profile profile, std::ostream& out, ProfileFormat format) {
  std::string const text = profile_text(profile, format);
  out.write(text.data(), static_cast<std::streamsize>(text.size()));
}

}  // namespace observe

}  // namespace hamgam::inline HAMGAM_ABI
