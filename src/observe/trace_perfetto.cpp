// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <string>
#include <unordered_map>

#include "observe/deflate.h"
#include "observe/protobuf.h"
#include "observe/trace_file.h"

// Perfetto's own format (protos/perfetto/trace/perfetto_trace.proto): packets, each with an event
// on a track. Strings are told once and then called by number, until there are too many: then all
// are forgotten, here and by the reader. An arrow leaves a point within a slice, as it must be told
// of before it arrives. Packets are put together in compressed ones. Times are nanoseconds.

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr std::size_t kBlock = std::size_t{256} << 10;  // before compression
constexpr std::size_t kMostStrings = 50'000;

// Of Trace, TracePacket, TrackEvent and so on.
enum Field : unsigned {
  kPacket = 1,

  kTimestamp = 8,
  kSequence = 10,
  kTrackEvent = 11,
  kInternedData = 12,
  kSequenceFlags = 13,
  kCompressedPackets = 50,
  kTrackDescriptor = 60,

  kUuid = 1,
  kTrackName = 2,
  kProcess = 3,
  kThread = 4,
  kParent = 5,
  kCounter = 8,
  kPid = 1,
  kTid = 2,
  kThreadName = 5,
  kProcessName = 6,

  kAnnotation = 4,
  kType = 9,
  kNameNumber = 10,
  kTrack = 11,
  kCounterValue = 30,
  kFlow = 47,
  kLastOfFlow = 48,

  kAnnotationName = 1,
  kUnsigned = 3,
  kTextNumber = 17,

  kEventNames = 2,
  kAnnotationNames = 3,
  kTexts = 29,
  kNumber = 1,
  kText = 2,
};
enum Type : unsigned { kBegin = 1, kEnd = 2, kInstant = 3, kCount = 4 };
enum Flags : unsigned { kCleared = 1, kNeedsState = 2 };

class PerfettoTrace : public TraceFile {
 public:
  explicit PerfettoTrace(TraceOutput& output) : output_(output) {
    process(TraceTrack::kWorkers, "goroutines, by thread");
    process(TraceTrack::kRegions, "regions, by goroutine");
    describe(Protobuf()
                 .number(kUuid, kGoroutines)
                 .bytes(kTrackName, "goroutines")
                 .number(kParent, TraceTrack::kWorkers)
                 .bytes(kCounter, ""));
    describe(Protobuf()
                 .number(kUuid, kRunnable)
                 .bytes(kTrackName, "runnable")
                 .number(kParent, TraceTrack::kWorkers)
                 .bytes(kCounter, ""));
  }

  void track(const TraceTrack& track, std::string_view name) override {
    Protobuf text;
    text.number(kUuid, uuid(track));
    if (track.group == TraceTrack::kWorkers) {
      text.message(kThread, Protobuf()
                                .number(kPid, static_cast<unsigned>(track.group))
                                .number(kTid, track.number)
                                .bytes(kThreadName, valid_utf8(name)));
    } else {
      text.bytes(kTrackName, valid_utf8(name)).number(kParent, static_cast<unsigned>(track.group));
    }
    describe(text);
  }

  void begin(const TraceTrack& track, Nanos time, const TraceSlice& slice) override {
    start(kBegin, uuid(track)).number(kNameNumber, number_of(names_, slice.name));
    if (slice.goroutine != 0) {
      annotate("goroutine").number(kUnsigned, slice.goroutine);
      event_.message(kAnnotation, annotation_);
    }
    if (slice.comes_from != 0) {
      event_.fixed(kLastOfFlow, slice.comes_from);
    }
    put_event(time);
  }

  void end(const TraceTrack& track, Nanos time, std::string_view why) override {
    start(kEnd, uuid(track));
    if (!why.empty()) {
      annotate("then").number(kTextNumber, number_of(texts_, why));
      event_.message(kAnnotation, annotation_);
    }
    put_event(time);
  }

  void arrow(const TraceTrack& track, Nanos time, std::string_view name,
             std::uint64_t arrow) override {
    start(kInstant, uuid(track)).number(kNameNumber, number_of(names_, name)).fixed(kFlow, arrow);
    put_event(time);
  }

  void counters(Nanos time, std::int64_t goroutines, std::int64_t runnable) override {
    start(kCount, kGoroutines).number(kCounterValue, static_cast<std::uint64_t>(goroutines));
    put_event(time);
    start(kCount, kRunnable).number(kCounterValue, static_cast<std::uint64_t>(runnable));
    put_event(time);
  }

  void finish(Nanos time, std::uint64_t records, std::uint64_t lost) override {
    start(kInstant, TraceTrack::kWorkers).number(kNameNumber, number_of(names_, "end of trace"));
    annotate("records").number(kUnsigned, records);
    event_.message(kAnnotation, annotation_);
    annotate("lost").number(kUnsigned, lost);
    event_.message(kAnnotation, annotation_);
    put_event(time);
    flush();
    output_.flush();
  }

 private:
  struct Strings {
    unsigned field;
    std::unordered_map<std::string, std::uint64_t> numbers = {};
  };

  // The groups have their own number.
  static constexpr std::uint64_t kGoroutines = 3;
  static constexpr std::uint64_t kRunnable = 4;
  static std::uint64_t uuid(const TraceTrack& track) noexcept {
    return 2 * track.number + static_cast<std::uint64_t>(track.group) + 4;
  }

  void process(TraceTrack::Group group, std::string_view name) {
    auto const number = static_cast<unsigned>(group);
    describe(Protobuf()
                 .number(kUuid, number)
                 .message(kProcess, Protobuf().number(kPid, number).bytes(kProcessName, name)));
  }

  void describe(const Protobuf& track) {
    packet_.clear();
    packet_.message(kTrackDescriptor, track).number(kSequence, 1);
    put_packet();
  }

  Protobuf& start(Type type, std::uint64_t track) {
    if (names_.numbers.size() > kMostStrings) {
      for (Strings* strings : {&names_, &texts_, &annotations_}) {
        strings->numbers.clear();
      }
      forgotten_ = true;
    }
    event_.clear();
    return event_.number(kType, type).number(kTrack, track);
  }

  Protobuf& annotate(std::string_view name) {
    annotation_.clear();
    return annotation_.number(kAnnotationName, number_of(annotations_, name));
  }

  std::uint64_t number_of(Strings& strings, std::string_view text) {
    auto const [place, fresh] =
        strings.numbers.try_emplace(std::string(text), strings.numbers.size() + 1);
    if (fresh) {
      new_strings_.message(
          strings.field, Protobuf().number(kNumber, place->second).bytes(kText, valid_utf8(text)));
    }
    return place->second;
  }

  void put_event(Nanos time) {
    packet_.clear();
    packet_.number(kTimestamp, static_cast<std::uint64_t>(time))
        .message(kTrackEvent, event_)
        .number(kSequence, 1)
        .number(kSequenceFlags, kNeedsState | (forgotten_ ? kCleared : 0U));
    forgotten_ = false;
    if (!new_strings_.text().empty()) {
      packet_.message(kInternedData, new_strings_);
      new_strings_.clear();
    }
    put_packet();
  }

  void put_packet() {
    block_.message(kPacket, packet_);
    if (block_.text().size() >= kBlock) {
      flush();
    }
  }

  void flush() {
    Protobuf const packet = Protobuf().bytes(kCompressedPackets, deflated(block_.text()));
    output_.put(Protobuf().message(kPacket, packet).text());
    block_.clear();
  }

  TraceOutput& output_;
  Strings names_{kEventNames};
  Strings texts_{kTexts};
  Strings annotations_{kAnnotationNames};
  bool forgotten_ = true;  // the reader is to forget all strings
  // Kept for their memory.
  Protobuf event_;
  Protobuf annotation_;
  Protobuf new_strings_;  // that the next packet tells
  Protobuf packet_;
  Protobuf block_;
};

}  // namespace

std::unique_ptr<TraceFile> perfetto_trace(TraceOutput& output) {
  return std::make_unique<PerfettoTrace>(output);
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
