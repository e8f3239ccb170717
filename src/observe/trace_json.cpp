// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "observe/trace_file.h"

// The Trace Event Format: complete events ("X"), arrows ("s", "f"), counters ("C"), names ("M").
// Times are microseconds.

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

// How many bytes the character takes that begins there; 0: it is none in UTF-8.
std::size_t character(std::string_view text) noexcept {
  auto const byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  unsigned const first = byte(0);
  std::size_t const length = first < 0x80   ? 1
                             : first < 0xC2 ? 0
                             : first < 0xE0 ? 2
                             : first < 0xF0 ? 3
                             : first < 0xF5 ? 4
                                            : 0;
  if (length > text.size()) {
    return 0;
  }
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0U) != 0x80) {
      return 0;
    }
  }
  // Spelled longer than need be, surrogates, beyond the last.
  bool const bad =
      length >= 3 && ((first == 0xE0 && byte(1) < 0xA0) || (first == 0xED && byte(1) > 0x9F) ||
                      (first == 0xF0 && byte(1) < 0x90) || (first == 0xF4 && byte(1) > 0x8F));
  return bad ? 0 : length;
}

// For a string in JSON.
std::string quoted(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    std::size_t const length = character(text);
    char const c = text.front();
    if (length == 0) {
      out += '?';
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char code[8];
      std::snprintf(code, sizeof code, "\\u%04x", static_cast<unsigned>(c));
      out += code;
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
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
        quoted(name).c_str());
  }

  void slice(const TraceSlice& slice) override {
    std::string const at = place(slice.track);
    std::string arguments;
    if (slice.goroutine != 0) {
      arguments += "\"goroutine\":" + std::to_string(slice.goroutine);
    }
    if (!slice.why.empty()) {
      arguments += arguments.empty() ? "" : ",";
      arguments += "\"then\":\"" + quoted(slice.why) + '"';
    }
    put(R"({"ph":"X",%s,"ts":%s,"dur":%s,"name":"%s","args":{%s}})", at.c_str(),
        time(slice.begin).text, time(slice.end - slice.begin).text, quoted(slice.name).c_str(),
        arguments.c_str());
    if (slice.comes_from != 0) {
      put(R"({"ph":"f","bp":"e",%s,"ts":%s,"id":%llu,"cat":"wake","name":"wake"})", at.c_str(),
          time(slice.begin).text, static_cast<unsigned long long>(slice.comes_from));
    }
    if (slice.leaves == nullptr) {
      return;
    }
    for (const TraceArrow& arrow : *slice.leaves) {
      put(R"({"ph":"s",%s,"ts":%s,"id":%llu,"cat":"wake","name":"wake","args":{"by":"%s"}})",
          at.c_str(), time(arrow.time).text, static_cast<unsigned long long>(arrow.id),
          arrow.spawns ? "go" : "wake");
    }
  }

  void counters(Nanos at, std::int64_t goroutines, std::int64_t runnable) override {
    put(R"({"ph":"C","pid":1,"ts":%s,"name":"goroutines","args":{"all":%lld,"runnable":%lld}})",
        time(at).text, static_cast<long long>(goroutines), static_cast<long long>(runnable));
  }

  void end(std::uint64_t records, std::uint64_t lost) override {
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
  static Time time(Nanos time) noexcept {
    Time t;
    std::snprintf(t.text, sizeof t.text, "%lld.%03lld", static_cast<long long>(time / 1000),
                  static_cast<long long>(time % 1000));
    return t;
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
};

}  // namespace

void TraceOutput::flush() {
  std::string_view rest = buffer_;
  while (!rest.empty() && error_ == 0) {
    ssize_t const written = write(descriptor_, rest.data(), rest.size());
    if (written >= 0) {
      rest.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno != EINTR) {
      error_ = errno;
    }
  }
  buffer_.clear();
}

std::unique_ptr<TraceFile> json_trace(TraceOutput& output) {
  return std::make_unique<JsonTrace>(output);
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
