// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sched/stuck.h"

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/debug_words.h"
#include "os/signals.h"
#include "os/thread.h"
#include "sched/dump.h"
#include "sched/exit.h"
#include "sched/look.h"
#include "sched/report_queue.h"
#include "sched/scheduler.h"
#include "sched/threads.h"
#include "sched/trace.h"

namespace hamgam::inline HAMGAM_ABI::detail {

constinit atomic<Nanos> g_stuck_limit{0};

namespace {

constexpr Nanos kUsual = 20 * kMillisecond;
constexpr Nanos kGranted = 10 * kMillisecond;
constexpr int kElsewhere = 3;
constexpr int kTries = 40;  // to have an answer: a thread may get no processor for long
constexpr Nanos kMinute = 60'000 * kMillisecond;

[[maybe_unused]] const bool kAskedFor = debug_asks_for("stuck") && (set_stuck_limit(kUsual), true);

struct Stuck {
  Worker* worker;
  const Goroutine* goroutine;
  std::uint64_t id;
  std::uint32_t tick;
  Nanos length;
  bool blocks;
};

constexpr std::size_t kMost = 16;  // others of the same moment are missed

constinit atomic<std::uint64_t> g_running{0};
constinit atomic<std::uint64_t> g_blocked{0};
constinit atomic<std::uint64_t> g_reports{0};

// It has not passed a scheduling point since.
bool still_there(const Stuck& stuck) noexcept {
  // relaxed throughout: a glance
  return stuck.worker->tick.load(kRelaxed) == stuck.tick &&
         stuck.worker->current.load(kRelaxed) == stuck.goroutine &&
         stuck.goroutine->id.load(kRelaxed) == stuck.id;
}

// False: it went on before it was seen. One that blocks may go on because it is asked, by EINTR,
// and is told of all the same: so what is known of it is read before.
bool look_at(const Stuck& stuck, Snapshot::Group& group) {
  const Goroutine& g = *stuck.goroutine;
  char name[kShownName];
  copy_name(g, name, sizeof name);
  group.state = stuck.blocks ? "blocks its thread" : "running";
  group.elsewhere = true;
  group.name = name;
  group.created_at = g.created_at;
  group.members.push_back({stuck.id, g.created_by, nullptr, 0});
  ThreadRecord* const thread = stuck.worker->record;
  group.frames.reserve(Look::kFrames);  // while a thread is asked, nothing may wait for memory
  int elsewhere = 0;                    // on another library's stack, it seems
  for (int tries = 0; tries < kTries && thread != nullptr && elsewhere < kElsewhere; ++tries) {
    if (!still_there(stuck)) {
      return false;
    }
    Looks looks(kLookPatience, false);
    looks.ask(*thread);
    looks.wait();
    const Look* const look = looks.answer(0);
    if (look != nullptr && look->goroutine == nullptr) {
      ++elsewhere;
    } else if (look != nullptr && look->goroutine == stuck.goroutine && look->id == stuck.id &&
               look->tick == stuck.tick && look->count != 0) {
      group.cut = look->count > Look::kFrames;
      group.frames.assign(look->frames, look->frames + std::min(look->count, Look::kFrames));
      return true;
    }
  }
  return still_there(stuck);
}

// The same loop is the same place, wherever in it the program is.
std::size_t place_of(const Stuck& stuck, const Snapshot::Group& group, Symbols& symbols) {
  std::hash<const void*> const hash;
  std::size_t place = stuck.blocks ? 1 : 0;
  auto const mix = [&place](std::size_t value) { place = place * 0x9E3779B97F4A7C15U + value; };
  mix(hash(group.created_at));
  for (std::size_t i = 0; i < group.frames.size(); ++i) {
    mix(i != 0 ? hash(group.frames[i])
               : std::hash<std::string>()(
                     symbols.at(static_cast<const char*>(group.frames[0]) - 1).function));
  }
  return place;
}

// By the reporter alone.
class Reporter {
 public:
  void tell(const Stuck& stuck) {
    Snapshot snapshot;
    snapshot.groups.emplace_back();
    if (!look_at(stuck, snapshot.groups[0])) {
      return;
    }
    snapshot.time = now();
    Symbols symbols;
    if (!is_news(place_of(stuck, snapshot.groups[0], symbols), snapshot.time)) {
      return;
    }
    std::string text = "hamgam: goroutine " + std::to_string(stuck.id);
    text += stuck.blocks ? " has blocked its thread, outside of blocking(), for "
                         : " has computed, without a scheduling point, for ";
    text += std::to_string(stuck.length / kMillisecond) + " ms, and others waited\n";
    write_snapshot(
        snapshot,
        [](void* to, std::string_view paragraph) { *static_cast<std::string*>(to) += paragraph; },
        &text);
    text += "\n";
    write_error(text);
    write_flight("stuck");
    g_reports.fetch_add(1, kRelaxed);  // relaxed: a number
  }

 private:
  struct Told {
    std::size_t place;
    Nanos time;
  };

  bool is_news(std::size_t place, Nanos time) {
    std::erase_if(told_, [time](const Told& told) { return time - told.time >= kMinute; });
    if (std::any_of(told_.begin(), told_.end(),
                    [place](const Told& told) { return told.place == place; })) {
      return false;
    }
    told_.push_back({place, time});
    return true;
  }

  std::vector<Told> told_;
};

// Once the process exits they do not go on where they were seen.
void tell(const Stuck& stuck) {
  static constinit Immortal<Reporter> reporter;
  if (!exiting()) {
    reporter.value.tell(stuck);
  }
}

constinit ReportQueue<Stuck, kMost> g_queue("hamgam-stuck", "stuck", &tell);

void report(Worker& worker, StuckLook& look, Nanos time, Nanos length, bool blocks) noexcept {
  bool& counted = blocks ? look.blocked : look.ran;
  if (!std::exchange(counted, true)) {
    (blocks ? g_blocked : g_running).fetch_add(1, kRelaxed);  // relaxed: a number
  }
  // relaxed throughout: who asks looks again
  const Goroutine* const g = worker.current.load(kRelaxed);
  std::uint64_t const id = g->id.load(kRelaxed);
  if (g == &worker.base || id == 0) {
    return;
  }
  if (!std::exchange(look.put, true)) {
    (void)g_queue.put({&worker, g, id, look.tick, length, blocks});
  }
  if (g_queue.ask()) {  // else at the next look
    look.asked_at = time;
    look.put = false;
  }
}

}  // namespace

void look_for_stuck(Worker& worker, Nanos time) noexcept {
  // relaxed throughout: a glance
  Nanos const limit = g_stuck_limit.load(kRelaxed);
  StuckLook& look = worker.stuck;
  std::uint32_t const tick = worker.tick.load(kRelaxed);
  const Goroutine* const g = worker.current.load(kRelaxed);
  bool const excused =
      worker.in_blocking.load(kRelaxed) || g->wait_reason.load(kRelaxed) == kOnItsThread;
  Nanos const stays = worker.stays_since.load(kRelaxed);
  if (!look.begun || look.tick != tick || look.stays != stays || excused) {
    look = {};
    look.begun = !excused;
    look.tick = tick;
    look.stays = stays;
    look.since = look.still_since = time;
    look.cpu = look.still_cpu = thread_cpu_time(worker.thread_id);
    return;
  }
  if (!look.held_up && time - look.since >= std::min(limit, kGranted)) {
    look.held_up = worker.queue.has_next() || !worker.queue.ring_empty() || any_work();
  }
  bool const told = look.asked_at != 0 && time - look.asked_at < kMinute;
  if (!look.held_up || time - look.since < limit || told) {
    return;
  }
  // In this order: if it has not run since the last look, it is the same wait.
  bool const waits = thread_doing(worker.thread_id) == Doing::kWaits;
  Nanos const cpu = thread_cpu_time(worker.thread_id);
  bool const moved = worker.tick.load(kRelaxed) != tick || worker.in_blocking.load(kRelaxed) ||
                     worker.stays_since.load(kRelaxed) != stays;
  if (cpu == 0 || look.cpu == 0 || moved) {
    return;
  }
  if (cpu - look.cpu >= limit) {
    report(worker, look, time, cpu - look.cpu, false);
  } else if (cpu != look.still_cpu || !waits) {
    look.still_cpu = cpu;
    look.still_since = time;
  } else if (time - look.still_since >= limit) {
    report(worker, look, time, time - look.still_since, true);
  }
}

void set_stuck_limit(Nanos limit) noexcept {
  static constinit atomic<bool> first{true};
  if (limit != 0 && first.exchange(false, kRelaxed)) {  // relaxed: only one wins
    (void)std::atexit([] { g_queue.tell_at_exit(); });
  }
  g_stuck_limit.store(limit, kRelaxed);  // relaxed: sooner or later
}

StuckCounts stuck_counts() noexcept {
  // relaxed throughout: numbers
  return {g_running.load(kRelaxed), g_blocked.load(kRelaxed), g_reports.load(kRelaxed)};
}

void forget_stuck() noexcept {
  set_stuck_limit(0);
  g_queue.forget();
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
