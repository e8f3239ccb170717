// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include "os/signals.h"
#include "os/symbols.h"
#include "os/thread.h"
#include "sched/dump.h"
#include "sched/exit.h"
#include "sched/report_queue.h"
#include "sched/trace.h"
#include "sync/lock_list.h"
#include "sync/lock_order.h"
#include "sync/lock_watch.h"

// Reports of locks, written by a thread of their own: who closes a circle is about to fall asleep
// in it, and is seen by others only then; and standard error may be slow. The thread is one that is
// known, so it does not stand in the way of the report that all are asleep; but that one waits
// until these are written, since the thread is awake as long.
//
// A circle is told of if it still stands a moment later. So a program that unlocks for others what
// they wait for, which it may, is not called wrong before it had the time.

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr Nanos kMoment = 20 * kMillisecond;
constexpr Nanos kPatience = 1000 * kMillisecond;
constexpr std::size_t kMost = 256;  // others of the same moment are missed

struct Report {
  LockCircle circle;
  LockOrderReport order;
};

constinit atomic<std::uint64_t> g_told{0};

std::string hex(const void* address) {
  std::array<char, 32> text;
  std::snprintf(text.data(), text.size(), "%p", address);
  return text.data();
}

std::string name_of(const void* lock) {
  std::string const name = find_object(lock);
  return name.empty() ? hex(lock) : hex(lock) + " \"" + name + "\"";
}

std::string name_of(const LockWaiterInfo& info) {
  return (info.has_readers ? "RWMutex " : "Mutex ") + name_of(info.lock);
}

std::string who(const auto& info) {
  return info.goroutine != 0 ? "goroutine " + std::to_string(info.goroutine)
                             : "thread " + std::to_string(info.thread);
}

void write_place(const Symbols::Place& place, std::string& text) {
  text += place.function + "\n\t" + place.where + "\n";
}

// The first frame that is the program's own, or else the first.
void write_site(const LockSite& site, Symbols& symbols, std::string& text) {
  if (site.frames[0] == nullptr) {
    text += "\t(not known)\n";
    return;
  }
  write_place(symbols.of_program(site.frames, LockSite::kMost), text);
}

void write_frames(const auto& frames, Symbols& symbols, std::string& text) {
  Snapshot::Group group;
  group.frames.assign(frames.begin(), frames.end());
  auto const [first, end] = shown_frames(group, symbols);
  for (std::size_t i = first; i < end; ++i) {
    write_place(symbols.at(static_cast<const char*>(group.frames[i]) - 1), text);
  }
}

// Threads as a snapshot has goroutines.
void write_thread(const LockWaiterInfo& info, Symbols& symbols, std::string& text) {
  text += '\n' + who(info) + " [" + info.reason + "]:\nwaits for " + hex(info.lock) + '\n';
  write_frames(info.frames, symbols, text);
}

// Those of them, as far as they are there.
Snapshot snapshot_of(const std::vector<LockWaiterInfo>& all) {
  Snapshot snapshot = take_snapshot(Ask::kNobody);
  for (Snapshot::Group& group : snapshot.groups) {
    std::erase_if(group.members, [&](const Snapshot::Member& member) {
      return std::none_of(all.begin(), all.end(),
                          [&](const auto& one) { return one.goroutine == member.id; });
    });
  }
  std::erase_if(snapshot.groups,
                [](const Snapshot::Group& group) { return group.members.empty(); });
  return snapshot;
}

void write_goroutines(const std::vector<LockWaiterInfo>& all, std::string& text) {
  Snapshot snapshot = snapshot_of(all);
  // One that is about to wait may not have had a CPU since: its stack is seen when it does.
  for (Nanos const end = now() + kPatience;
       now() < end && !std::all_of(snapshot.groups.begin(), snapshot.groups.end(),
                                   [](const auto& group) { return group.waits; });) {
    nap_thread();
    snapshot = snapshot_of(all);
  }
  write_snapshot(
      snapshot,
      [](void* to, std::string_view paragraph) { *static_cast<std::string*>(to) += paragraph; },
      &text);
}

std::string text_of(const LockCircle& circle) {
  auto all = describe(circle);
  // The same text, whoever came last: by the first of the goroutines.
  std::rotate(all.begin(),
              std::min_element(all.begin(), all.end(),
                               [](const auto& a, const auto& b) {
                                 return a.goroutine - 1 < b.goroutine - 1;  // 0, threads: last
                               }),
              all.end());
  Symbols symbols;
  std::string text = "hamgam: deadlock: ";
  text += all.size() == 1
              ? "one waits for a lock that it has itself\n\n"
              : std::to_string(all.size()) + " wait for each other's locks, for ever\n\n";
  for (std::size_t i = 0; i < all.size(); ++i) {
    text += who(all[i]) + " waits for " + name_of(all[i]) + ", which ";
    std::string const next = who(all[(i + 1) % all.size()]);
    if (all[i].kept) {
      text += "is kept for " + next + ", who waits to write\n";
    } else {
      text += next + " locked at\n";
      write_site(all[i].taken, symbols, text);
    }
  }
  if (std::any_of(all.begin(), all.end(), [](const auto& info) { return info.goroutine != 0; })) {
    write_goroutines(all, text);
  }
  for (const LockWaiterInfo& info : all) {
    if (info.goroutine == 0) {
      write_thread(info, symbols, text);
    }
  }
  text += "\n";
  return text;
}

std::string text_of(const LockOrderReport& report) {
  Symbols symbols;
  std::string text = "hamgam: locks could deadlock: ";
  if (report.steps.size() == 1) {
    text +=
        "one reads again what it reads already; a writer that came in between would wait for "
        "the first, and keep out the second\n\n";
  } else {
    text += std::to_string(report.steps.size());
    text += " are taken in different orders; this time nobody waited\n\n";
  }
  for (const LockOrderStep& step : report.steps) {
    text += who(step) + " had " + name_of(step.first) + ", taken at\n";
    write_site(step.first_taken, symbols, text);
    text += "and took " + name_of(step.second) + " at\n";
    write_frames(step.frames, symbols, text);
    text += "\n";
  }
  return text;
}

// Each circle is found by the last who comes to it; two who come at once may both find it.
bool is_new(const LockCircle& circle) {
  static auto* const kTold = new std::vector<std::uint64_t>;
  auto& told = *kTold;
  std::uint64_t sum = 0;
  for (const LockCircle::Step& step : circle.steps) {
    auto const key = reinterpret_cast<std::uintptr_t>(step.who) ^ (step.wait << 48) ^ step.wait;
    sum += key * 0x9E3779B97F4A7C15U;
  }
  if (std::find(told.begin(), told.end(), sum) != told.end()) {
    return false;
  }
  told.push_back(sum);
  return true;
}

bool still_wrong(const LockCircle& circle) noexcept {
  for (Nanos const end = now() + kMoment; now() < end;) {
    nap_thread();
  }
  return circle.stands();
}

void tell(const Report& report) noexcept {
  try {
    if (!report.order.steps.empty()) {
      write_error(text_of(report.order));
    } else if (still_wrong(report.circle) && is_new(report.circle)) {
      write_error(text_of(report.circle));
      write_flight("deadlock");
    } else {
      return;
    }
    g_told.fetch_add(1, kRelaxed);  // relaxed: a number
  } catch (const std::bad_alloc&) {
    write_error("hamgam: deadlock of locks, and no memory to tell of it\n");
  }
}

constinit ReportQueue<Report, kMost> g_queue("hamgam-locks", "locks", &tell);

// Those that wait for each other's locks may never come to the exit, which would say it.
void put(Report&& report) noexcept {
  (void)g_queue.put(std::move(report));
  if (!g_queue.ask()) {
    // By who locks, and may be the one who exits: it waits for no reader.
    (void)write_error_within("hamgam: deadlock of locks, and no thread to tell of it\n", 0);
  }
}

}  // namespace

void report_circle(LockCircle&& circle) noexcept { put({std::move(circle), {}}); }
void report_order(LockOrderReport&& report) noexcept { put({{}, std::move(report)}); }

void forget_lock_reports() noexcept { g_queue.forget(); }

void tell_of_locks_at_exit() noexcept { g_queue.tell_at_exit(); }

std::uint64_t lock_reports_told() noexcept {
  return g_told.load(kRelaxed);  // relaxed: a number
}

std::uint64_t count_lock_reports() noexcept {
  g_queue.await(patience());
  return g_told.load(kRelaxed);  // relaxed: a number
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
