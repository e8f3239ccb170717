// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "observe/trace_story.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "sched/trace.h"

// In two passes over all records by time. The first finds for each wake-up and each start where
// that goroutine ran next: an arrow, which is told of only if it has both ends. The second follows
// what each thread does, and tells it.
//
// A thread's records begin later than the trace if older ones were lost: what runs there is not
// known until a record tells. A goroutine that ran all the time has no record at all. The first
// goroutine of run() begins under another number than it goes on with.

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr std::uint32_t kNobody = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint64_t kUnknown = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t kMainGoroutine = 1;
constexpr Nanos kCounterPoints = 4000;  // at most
constexpr std::size_t kStepsTold = 256;

struct Event {
  std::uint64_t ticks;
  const TraceRecord* record;
  std::uint32_t thread;             // in threads_
  std::uint32_t partner = kNobody;  // the other end of the arrow
};

struct Thread {
  int id;  // 0: all plain ones
  bool lost;
  std::uint64_t last_ticks = 0;
  std::uint64_t goroutine = kUnknown;  // 0: none
  bool open = false;                   // its slice
  unsigned inside = 0;                 // slices in that: it keeps its thread
  bool seen = false;                   // it has told what runs
};

// Those that are open of one goroutine or thread.
struct Regions {
  TraceTrack track;
  std::vector<const char*> names = {};
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

  // Somebody may wait for it who dies.
  void note_progress() noexcept {
    if (++steps_ % kStepsTold == 0) {
      note_trace_progress();
    }
  }

  void collect() {
    std::unordered_map<const TraceRing*, std::uint32_t> known;
    for (const TraceChunk* chunk : records_.chunks) {
      note_progress();
      auto const [place, fresh] =
          known.try_emplace(chunk->owner, static_cast<std::uint32_t>(threads_.size()));
      if (fresh) {
        // relaxed throughout: a number; and of what is not lost yet no more is told than was seen
        threads_.push_back({chunk->owner->thread_id.load(kRelaxed),
                            records_.cut || chunk->owner->lost.load(kRelaxed)});
      }
      std::uint64_t& last = threads_[place->second].last_ticks;
      std::size_t const count = chunk->count.load(kRelaxed);  // relaxed: it is ours by now
      for (std::size_t i = 0; i < count && chunk->records[i].time <= records_.until; ++i) {
        const TraceRecord& record = chunk->records[i];
        last = std::max(last, record.time);  // one's own order is sure
        events_.push_back({last, &record, place->second});
      }
    }
    std::stable_sort(events_.begin(), events_.end(), [this](const Event& a, const Event& b) {
      note_progress();
      return a.ticks < b.ticks;
    });
  }

  void find_arrows() {
    std::unordered_map<std::uint64_t, std::uint32_t> woken;  // and has not run yet
    std::vector<std::uint64_t> runs(threads_.size(), 0);
    for (std::uint32_t i = 0; i < events_.size(); ++i) {
      note_progress();
      const TraceRecord& record = *events_[i].record;
      std::uint64_t& current = runs[events_[i].thread];
      if (record.who() == kMainGoroutine && current > kMainGoroutine) {
        renamed_[current] = kMainGoroutine;
        current = kMainGoroutine;
      }
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
          current = record.a;
          break;
        default:
          break;
      }
    }
  }

  void begin(Thread& thread) {
    if (thread.id != 0) {
      track(thread.id, "worker ");
    }
  }

  // The thread is seen to run that goroutine.
  void see(Thread& thread, std::uint64_t goroutine, Nanos time) {
    if (!std::exchange(thread.seen, true)) {
      thread.goroutine = goroutine;
      open(thread, thread.lost ? time : 0);
    }
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
        begin_inside(thread, time, text(record.b));
        break;
      case TraceKind::kUnblock:
        end_inside(thread, time);
        break;
      case TraceKind::kBegin:
        begin_region(record, time);
        break;
      case TraceKind::kEnd:
        end_region(record, time);
        break;
    }
    count(time);
  }

  void switch_over(Thread& thread, const Event& event, Nanos time) {
    const TraceRecord& record = *event.record;
    if (std::uint64_t const who = known_as(record.who()); who != 0) {
      if (!thread.open || thread.goroutine != who) {  // where that changed was lost
        close(thread, time, "");
        thread.goroutine = who;
        open(thread, time);
      }
      const char* const why = text(record.b);
      close(thread, time, why != nullptr ? why : "yield");
      goroutines_ -= why == kTraceEnded ? 1 : 0;
      runnable_ += why == nullptr ? 1 : 0;
      if (why == kTraceEnded) {
        names_.erase(who);
        end_regions(who, time);
      }
    } else {
      close(thread, time, "");  // how it ended was lost
    }
    thread.goroutine = known_as(record.a);
    open(thread, time, event.partner != kNobody ? event.partner + std::uint64_t{1} : 0);
    runnable_ -= record.a != 0 ? 1 : 0;
  }

  // What it runs, if that is a goroutine.
  void open(Thread& thread, Nanos time, std::uint64_t comes_from = 0) {
    if (thread.id != 0 && thread.goroutine != 0) {
      std::string const name = name_of(thread.goroutine);
      file_.begin(on(thread), time, {name, thread.goroutine, comes_from});
      thread.open = true;
    }
  }

  void close(Thread& thread, Nanos time, std::string_view why) {
    while (thread.inside != 0) {
      end_inside(thread, time);
    }
    if (std::exchange(thread.open, false)) {
      file_.end(on(thread), time, why);
    }
  }

  void begin_inside(Thread& thread, Nanos time, const char* why) {
    if (thread.open) {
      file_.begin(on(thread), time, {why});
      ++thread.inside;
    }
  }

  void end_inside(Thread& thread, Nanos time) {
    if (thread.inside != 0) {  // else it was lost where it began
      file_.end(on(thread), time, "");
      --thread.inside;
    }
  }

  void leave(const Thread& thread, const Event& event, Nanos time, bool spawns) {
    if (event.partner == kNobody) {
      return;
    }
    TraceTrack place = on(thread);
    const char* by = spawns ? "go" : "wake";
    if (thread.id == 0) {
      place.number = event.record->who() & ~kTraceThread;
      track(static_cast<int>(place.number), "thread ");
    } else if (!thread.open) {
      by = "timer, socket";
    }
    file_.arrow(place, time, by, index_of(event) + std::uint64_t{1});
  }

  void begin_region(const TraceRecord& record, Nanos time) {
    std::uint64_t const who = known_as(record.who());
    bool const is_thread = (who & kTraceThread) != 0;
    auto const [place, fresh] = regions_.try_emplace(who);
    Regions& regions = place->second;
    if (fresh) {
      regions.track = {TraceTrack::kRegions, ++region_tracks_};
      file_.track(regions.track, is_thread  ? "thread " + std::to_string(who & ~kTraceThread)
                                 : who == 0 ? "workers"
                                            : name_of(who));
    }
    regions.names.push_back(text(record.b));
    file_.begin(regions.track, time, {regions.names.back(), is_thread ? 0 : who});
  }

  void end_region(const TraceRecord& record, Nanos time) {
    auto const found = regions_.find(known_as(record.who()));
    // Where it began may have been lost; then the names differ, most often.
    if (found != regions_.end() && !found->second.names.empty() &&
        found->second.names.back() == text(record.b)) {
      found->second.names.pop_back();
      file_.end(found->second.track, time, "");
    }
  }

  void end_regions(Regions& regions, Nanos time) {
    for (; !regions.names.empty(); regions.names.pop_back()) {
      file_.end(regions.track, time, "");
    }
  }

  void end_regions(std::uint64_t who, Nanos time) {
    if (auto const found = regions_.find(who); found != regions_.end()) {
      end_regions(found->second, time);
      regions_.erase(found);
    }
  }

  void end() {
    Nanos const time = length();
    for (Thread& thread : threads_) {
      close(thread, time, "");
    }
    for (auto& [who, regions] : regions_) {
      end_regions(regions, time);
    }
    tell_silent(time);
    file_.counters(time, std::max<std::int64_t>(0, goroutines_),
                   std::max<std::int64_t>(0, runnable_));
    file_.finish(time, events_.size(), records_.lost);
  }

  // Workers that ran one goroutine all the time.
  void tell_silent(Nanos time) {
    for (const TraceRunning& first : frame_.running_first) {
      bool const silent = first.goroutine != 0 &&
                          std::none_of(threads_.begin(), threads_.end(),
                                       [&](const Thread& thread) {
                                         return thread.seen && thread.id == first.thread_id;
                                       }) &&
                          std::any_of(frame_.running_last.begin(), frame_.running_last.end(),
                                      [&](const TraceRunning& last) {
                                        return last.thread_id == first.thread_id &&
                                               last.goroutine == first.goroutine;
                                      });
      if (silent) {
        track(first.thread_id, "worker ");
        std::string const name = name_of(first.goroutine);
        TraceTrack const place{TraceTrack::kWorkers, static_cast<std::uint64_t>(first.thread_id)};
        file_.begin(place, 0, {name, first.goroutine});
        file_.end(place, time, "");
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

  // The first goroutine of run() gets another number when it runs.
  [[nodiscard]] std::uint64_t known_as(std::uint64_t goroutine) const {
    auto const found = renamed_.find(goroutine);
    return found != renamed_.end() ? found->second : goroutine;
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
  std::unordered_map<std::uint64_t, std::uint64_t> renamed_;
  std::unordered_map<std::uint64_t, Regions> regions_;
  std::uint64_t region_tracks_ = 0;
  std::vector<int> told_;  // threads whose tracks have a name
  std::int64_t goroutines_ = frame_.goroutines;
  std::int64_t runnable_ = frame_.runnable;
  Nanos next_count_ = 0;
  std::size_t steps_ = 0;
};

}  // namespace

void tell_trace(const TraceFrame& frame, const TraceEnd& records, TraceFile& file) {
  Story(frame, records, file).tell();
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
