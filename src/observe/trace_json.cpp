// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <cstdio>
#include <unordered_map>
#include <vector>

#include "observe/trace_file.h"

// The Trace Event Format: complete events ("X"), arrows ("s", "f"), counters ("C"), names ("M").
// Times are microseconds.

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

// For a string in JSON.
std::string in_quotes(std::string_view text) {
  std::string out;
  for (char const c : valid_utf8(text)) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char code[8];
      std::snprintf(code, sizeof code, "\\u%04x", static_cast<unsigned>(c));
      out += code;
    } else {
      out += c;
    }
  }
  return out;
}

class JsonTrace : public TraceFile {
 public:
  explicit JsonTrace(TraceOutput& output) : output_(output) {
    output_.put("{\"displayTimeUnit\":\"ns\",\"traceEvents\":[");
    process(TraceTrack::kWorkers, "goroutines, by thread");
    process(TraceTrack::kRegions, "regions, by goroutine");
  }

  void track(const TraceTrack& track, std::string_view name) override {
    put(R"({"ph":"M","name":"thread_name",%s,"args":{"name":"%s"}})", place(track).c_str(),
        in_quotes(name).c_str());
  }

  void begin(const TraceTrack& track, Nanos time, const TraceSlice& slice) override {
    open_[key(track)].push_back({time, std::string(slice.name), slice.goroutine});
    if (slice.comes_from != 0) {
      put(R"({"ph":"f","bp":"e",%s,"ts":%s,"id":%llu,"cat":"wake","name":"wake"})",
          place(track).c_str(), text(time).text, static_cast<unsigned long long>(slice.comes_from));
    }
  }

  void end(const TraceTrack& track, Nanos time, std::string_view why) override {
    auto& open = open_[key(track)];
    put_slice(track, open.back(), time, why);
    open.pop_back();
  }

  void arrow(const TraceTrack& track, Nanos time, std::string_view name,
             std::uint64_t arrow) override {
    if (open_[key(track)].empty()) {
      put_slice(track, {time, std::string(name), 0}, time, {});
    }
    put(R"({"ph":"s",%s,"ts":%s,"id":%llu,"cat":"wake","name":"wake","args":{"by":"%s"}})",
        place(track).c_str(), text(time).text, static_cast<unsigned long long>(arrow),
        in_quotes(name).c_str());
  }

  void counters(Nanos at, std::int64_t goroutines, std::int64_t runnable) override {
    put(R"({"ph":"C","pid":1,"ts":%s,"name":"goroutines","args":{"all":%lld,"runnable":%lld}})",
        text(at).text, static_cast<long long>(goroutines), static_cast<long long>(runnable));
  }

  void finish(Nanos /*time*/, std::uint64_t records, std::uint64_t lost) override {
    if (lost != 0) {
      put(R"({"ph":"M","name":"process_labels","pid":1,"args":{"labels":"%llu records lost"}})",
          static_cast<unsigned long long>(lost));
    }
    output_.put("\n],\"otherData\":{\"records\":\"" + std::to_string(records) + "\",\"lost\":\"" +
                std::to_string(lost) + "\"}}\n");
    output_.flush();
  }

 private:
  struct Time {
    char text[32];
  };
  static Time text(Nanos time) noexcept {
    Time t;
    std::snprintf(t.text, sizeof t.text, "%lld.%03lld", static_cast<long long>(time / 1000),
                  static_cast<long long>(time % 1000));
    return t;
  }

  struct Open {
    Nanos begin;
    std::string name;
    std::uint64_t goroutine;
  };

  static std::uint64_t key(const TraceTrack& track) noexcept {
    return track.number * 4 + static_cast<std::uint64_t>(track.group);
  }

  void put_slice(const TraceTrack& track, const Open& slice, Nanos end, std::string_view why) {
    std::string arguments;
    if (slice.goroutine != 0) {
      arguments += "\"goroutine\":" + std::to_string(slice.goroutine);
    }
    if (!why.empty()) {
      arguments += arguments.empty() ? "" : ",";
      arguments += "\"then\":\"" + in_quotes(why) + '"';
    }
    put(R"({"ph":"X",%s,"ts":%s,"dur":%s,"name":"%s","args":{%s}})", place(track).c_str(),
        text(slice.begin).text, text(end - slice.begin).text, in_quotes(slice.name).c_str(),
        arguments.c_str());
  }

  static std::string place(const TraceTrack& track) {
    return "\"pid\":" + std::to_string(static_cast<int>(track.group)) +
           ",\"tid\":" + std::to_string(track.number);
  }

  void process(int number, const char* name) {
    put(R"({"ph":"M","name":"process_name","pid":%d,"args":{"name":"%s"}})", number, name);
  }

  template <class... A>
  void put(const char* format, A... arguments) {
    char line[1024];  // names have 127 bytes at most, or are literals
    int const length = std::snprintf(line, sizeof line, format, arguments...);
    output_.put(first_ ? "\n" : ",\n");
    first_ = false;
    if (static_cast<std::size_t>(length) < sizeof line) {
      output_.put({line, static_cast<std::size_t>(length)});
      return;
    }
    std::string whole(static_cast<std::size_t>(length), '\0');
    std::snprintf(whole.data(), whole.size() + 1, format, arguments...);
    output_.put(whole);
  }

  TraceOutput& output_;
  bool first_ = true;
  std::unordered_map<std::uint64_t, std::vector<Open>> open_;  // by key()
};

}  // namespace

std::unique_ptr<TraceFile> json_trace(TraceOutput& output) {
  return std::make_unique<JsonTrace>(output);
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
