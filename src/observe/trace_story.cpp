// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "observe/trace_story.h"

#include <algorithm>
#include <cstring>
#include <limits>

// In two passes over all records by time. The first finds for each wake-up and each start where
// that goroutine ran next: an arrow, which is told of only if it has both ends. The second follows
// what each thread does and tells of each slice when it ends.
//
// A thread's records begin later than the trace if older ones were lost: what runs there is not
// known until a record tells. A goroutine that ran all the time has no record at all. The first
// goroutine of run() begins under another number than it goes on with.

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr std::uint32_t kNobody = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint64_t kUnknown = std::numeric_limits<std::uint64_t>::max();
constexpr Nanos kCounterPoints = 4000;  // at most

struct Event {
  std::uint64_t ticks;
  const TraceRecord* record;
  std::uint32_t thread;             // in threads_
  std::uint32_t partner = kNobody;  // the other end of the arrow
};

struct Span {
  Nanos begin;
  const char* name;
};

struct Thread {
  int id;  // 0: all plain ones
  bool lost;
  std::uint64_t last_ticks = 0;
  std::uint64_t goroutine = kUnknown;  // 0: none
  Nanos begin = 0;
  std::uint64_t comes_from = 0;
  std::vector<TraceArrow> leaves = {};
  std::vector<Span> inside = {};  // it keeps its thread, and why
  bool seen = false;              // it has told what runs
};

class Story {
 public:
  Story(const TraceFrame& frame, const TraceEnd& records, TraceFile& file)
      : frame_(frame), records_(records), file_(file), names_(frame.names) {}

  void tell() {
    collect();
    find_arrows();
    for (Thread& thread : threads_) {
      begin(thread);
    }
    for (const Event& event : events_) {
      tell(event);
    }
    end();
  }

 private:
  [[nodiscard]] Nanos time_of(std::uint64_t ticks) const noexcept {
    if (ticks <= frame_.begin_ticks || frame_.end_ticks <= frame_.begin_ticks) {
      return 0;
    }
    auto const share = static_cast<double>(ticks - frame_.begin_ticks) /
                       static_cast<double>(frame_.end_ticks - frame_.begin_ticks);
    return std::min(length(),
                    static_cast<Nanos>(share * static_cast<double>(frame_.end - frame_.begin)));
  }

  [[nodiscard]] Nanos length() const noexcept { return frame_.end - frame_.begin; }

  void collect() {
    std::unordered_map<const TraceRing*, std::uint32_t> known;
    for (const TraceChunk* chunk : records_.chunks) {
      auto const [place, fresh] =
          known.try_emplace(chunk->owner, static_cast<std::uint32_t>(threads_.size()));
      if (fresh) {
        threads_.push_back({chunk->owner->thread_id, chunk->owner->lost});
      }
      std::uint64_t& last = threads_[place->second].last_ticks;
      for (std::size_t i = 0; i < chunk->count; ++i) {
        const TraceRecord& record = chunk->records[i];
        last = std::max(last, record.time);  // one's own order is sure
        events_.push_back({last, &record, place->second});
      }
    }
    std::stable_sort(events_.begin(), events_.end(),
                     [](const Event& a, const Event& b) { return a.ticks < b.ticks; });
  }

  void find_arrows() {
    std::unordered_map<std::uint64_t, std::uint32_t> woken;  // and has not run yet
    for (std::uint32_t i = 0; i < events_.size(); ++i) {
      const TraceRecord& record = *events_[i].record;
      switch (record.kind()) {
        case TraceKind::kWake:
        case TraceKind::kSpawn:
          woken[record.a] = i;
          break;
        case TraceKind::kSwitch:
          woken.erase(record.who());  // where it began to run was lost
          if (auto const found = woken.find(record.a); found != woken.end()) {
            events_[i].partner = found->second;
            events_[found->second].partner = i;
            woken.erase(found);
          }
          break;
        default:
          break;
      }
    }
  }

  void begin(Thread& thread) {
    if (thread.id == 0) {
      thread.goroutine = 0;
      return;
    }
    track(thread.id, "worker ");
    if (thread.lost) {
      return;
    }
    for (const TraceRunning& running : frame_.running_first) {
      if (running.thread_id == thread.id) {
        thread.goroutine = running.goroutine;
      }
    }
  }

  // The thread is seen to run that goroutine.
  void see(Thread& thread, std::uint64_t goroutine, Nanos time) {
    if (!thread.seen && thread.goroutine != goroutine) {
      thread.begin = thread.lost ? time : 0;
      thread.goroutine = goroutine;
    }
    thread.seen = true;
  }

  void tell(const Event& event) {
    Thread& thread = threads_[event.thread];
    const TraceRecord& record = *event.record;
    Nanos const time = time_of(event.ticks);
    if (thread.id != 0) {
      see(thread, record.who(), time);
    }
    switch (record.kind()) {
      case TraceKind::kSwitch:
        switch_over(thread, event, time);
        break;
      case TraceKind::kWake:
        ++runnable_;
        leave(thread, event, time, false);
        break;
      case TraceKind::kSpawn:
        ++goroutines_;
        ++runnable_;
        leave(thread, event, time, true);
        break;
      case TraceKind::kName:
        add_name(record);
        break;
      case TraceKind::kBlock:
        thread.inside.push_back({time, text(record.b)});
        break;
      case TraceKind::kUnblock:
        end_inside(thread, time);
        break;
      case TraceKind::kBegin:
        regions_[record.who()].push_back({time, text(record.b)});
        break;
      case TraceKind::kEnd:
        end_region(record, time);
        break;
    }
    count(time);
  }

  void switch_over(Thread& thread, const Event& event, Nanos time) {
    const TraceRecord& record = *event.record;
    if (record.who() != 0) {
      thread.goroutine = record.who();
      const char* const why = text(record.b);
      close(thread, time, why != nullptr ? why : "yield");
      goroutines_ -= why == kTraceEnded ? 1 : 0;
      runnable_ += why == nullptr ? 1 : 0;
      if (why == kTraceEnded) {
        names_.erase(record.who());
        regions_.erase(record.who());
      }
    } else if (thread.goroutine != 0 && thread.goroutine != kUnknown) {
      close(thread, time, "");  // how it ended was lost
    }
    thread.goroutine = record.a;
    thread.begin = time;
    thread.comes_from = event.partner != kNobody ? event.partner + 1 : 0;
    runnable_ -= record.a != 0 ? 1 : 0;
  }

  // The goroutine that it runs stops.
  void close(Thread& thread, Nanos time, std::string_view why) {
    while (!thread.inside.empty()) {
      end_inside(thread, time);
    }
    std::string const name = name_of(thread.goroutine);
    file_.slice({on(thread), thread.begin, time, name, thread.goroutine, why, thread.comes_from,
                 &thread.leaves});
    thread.comes_from = 0;
    thread.leaves.clear();
  }

  void end_inside(Thread& thread, Nanos time) {
    if (thread.inside.empty()) {
      return;  // where it began was lost
    }
    Span const span = thread.inside.back();
    thread.inside.pop_back();
    file_.slice({on(thread), std::max(span.begin, thread.begin), time, span.name});
  }

  // An arrow begins, in what runs; or in a slice of its own, without length.
  void leave(Thread& thread, const Event& event, Nanos time, bool spawns) {
    if (event.partner == kNobody) {
      return;
    }
    TraceArrow const arrow{std::uint64_t{1} + index_of(event), time, spawns};
    if (thread.id != 0 && thread.goroutine != 0) {
      thread.leaves.push_back(arrow);
      return;
    }
    TraceTrack place = on(thread);
    if (thread.id == 0) {
      place.number = event.record->who() & ~kTraceThread;
      track(static_cast<int>(place.number), "thread ");
    }
    std::vector<TraceArrow> const only{arrow};
    std::string_view const name = thread.id != 0 ? "timer, socket" : spawns ? "go" : "wake";
    file_.slice({place, time, time, name, 0, {}, 0, &only});
  }

  void end_region(const TraceRecord& record, Nanos time) {
    auto const found = regions_.find(record.who());
    // Where it began may have been lost; then the names differ, most often.
    if (found == regions_.end() || found->second.empty() ||
        found->second.back().name != text(record.b)) {
      return;
    }
    Span const span = found->second.back();
    found->second.pop_back();
    tell_region(record.who(), span, time);
  }

  void tell_region(std::uint64_t who, const Span& span, Nanos time) {
    auto const [place, fresh] = region_tracks_.try_emplace(who, region_tracks_.size() + 1);
    TraceTrack const track{TraceTrack::kRegions, place->second};
    bool const is_thread = (who & kTraceThread) != 0;
    std::string const name = is_thread  ? "thread " + std::to_string(who & ~kTraceThread)
                             : who == 0 ? "workers"
                                        : name_of(who);
    if (fresh) {
      file_.track(track, name);
    }
    file_.slice({track, span.begin, time, span.name, is_thread ? 0 : who});
  }

  void end() {
    Nanos const time = length();
    for (Thread& thread : threads_) {
      if (thread.id != 0 && thread.goroutine != 0 && thread.goroutine != kUnknown) {
        close(thread, time, "");
      }
    }
    for (auto& [who, spans] : regions_) {
      while (!spans.empty()) {
        Span const span = spans.back();
        spans.pop_back();
        tell_region(who, span, time);
      }
    }
    tell_silent(time);
    file_.counters(time, std::max<std::int64_t>(0, goroutines_),
                   std::max<std::int64_t>(0, runnable_));
    file_.end(events_.size(), records_.lost);
  }

  // Workers that ran one goroutine all the time.
  void tell_silent(Nanos time) {
    for (const TraceRunning& first : frame_.running_first) {
      bool const silent =
          first.goroutine != 0 &&
          std::none_of(threads_.begin(), threads_.end(),
                       [&](const Thread& thread) { return thread.id == first.thread_id; }) &&
          std::any_of(frame_.running_last.begin(), frame_.running_last.end(),
                      [&](const TraceRunning& last) {
                        return last.thread_id == first.thread_id &&
                               last.goroutine == first.goroutine;
                      });
      if (silent) {
        track(first.thread_id, "worker ");
        std::string const name = name_of(first.goroutine);
        file_.slice({{TraceTrack::kWorkers, static_cast<std::uint64_t>(first.thread_id)},
                     0,
                     time,
                     name,
                     first.goroutine});
      }
    }
  }

  void count(Nanos time) {
    if (time >= next_count_) {
      next_count_ = time + std::max<Nanos>(1000, length() / kCounterPoints);
      file_.counters(time, std::max<std::int64_t>(0, goroutines_),
                     std::max<std::int64_t>(0, runnable_));
    }
  }

  void add_name(const TraceRecord& record) {
    char part[sizeof record.b];
    std::memcpy(part, &record.b, sizeof part);
    names_[record.a].append(part, strnlen(part, sizeof part));
  }

  [[nodiscard]] std::string name_of(std::uint64_t goroutine) const {
    auto const found = names_.find(goroutine);
    std::string const number = std::to_string(goroutine);
    return found != names_.end() ? found->second + " (" + number + ")" : "goroutine " + number;
  }

  void track(int thread_id, const char* kind) {
    if (std::find(told_.begin(), told_.end(), thread_id) == told_.end()) {
      told_.push_back(thread_id);
      file_.track({TraceTrack::kWorkers, static_cast<std::uint64_t>(thread_id)},
                  kind + std::to_string(thread_id));
    }
  }

  static TraceTrack on(const Thread& thread) noexcept {
    return {TraceTrack::kWorkers, static_cast<std::uint64_t>(thread.id)};
  }

  [[nodiscard]] std::uint32_t index_of(const Event& event) const noexcept {
    return static_cast<std::uint32_t>(&event - events_.data());
  }

  static const char* text(std::uint64_t address) noexcept {
    // NOLINTNEXTLINE(performance-no-int-to-ptr): it was one
    return reinterpret_cast<const char*>(static_cast<std::uintptr_t>(address));
  }

  const TraceFrame& frame_;
  const TraceEnd& records_;
  TraceFile& file_;
  std::unordered_map<std::uint64_t, std::string> names_;
  std::vector<Thread> threads_;
  std::vector<Event> events_;
  std::unordered_map<std::uint64_t, std::vector<Span>> regions_;
  std::unordered_map<std::uint64_t, std::uint64_t> region_tracks_;
  std::vector<int> told_;  // threads whose tracks have a name
  std::int64_t goroutines_ = frame_.goroutines;
  std::int64_t runnable_ = frame_.runnable;
  Nanos next_count_ = 0;
};

}  // namespace

void tell_trace(const TraceFrame& frame, const TraceEnd& records, TraceFile& file) {
  Story(frame, records, file).tell();
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
