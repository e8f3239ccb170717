// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sched/held_mutexes.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <iterator>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/debug_words.h"
#include "base/held_mutexes.h"
#include "base/immortal.h"
#include "fiber/unwind.h"
#include "os/clock.h"
#include "os/signals.h"
#include "os/spin_lock.h"
#include "sched/dump.h"
#include "sched/exit.h"
#include "sched/latency.h"
#include "sched/park.h"
#include "sched/report_queue.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

// A goroutine that has some.
struct Holder {
  std::uint64_t id;
  std::uint64_t created_by;
  const void* created_at;
  const char* why;  // null: it yields
  char name[kShownName];
  std::size_t held;
  HeldMutex mutex;  // the first of them
  std::size_t count;
  const void* frames[Snapshot::kFrames];  // where it is
};

constexpr std::size_t kMost = 8;     // others of the same moment are counted only
constexpr std::size_t kPlaces = 64;  // the latest, which need not be looked at again

constinit SpinLock g_lock;  // of these
constinit std::size_t g_places[kPlaces] = {};
constinit std::size_t g_next_place = 0;

constinit atomic<std::uint64_t> g_seen{0};
constinit atomic<TakeHeldMutexes> g_take{nullptr};

// Of where it was locked, by the return addresses.
std::size_t place_of(const HeldMutex& mutex) noexcept {
  std::size_t place = 1;
  for (const void* frame : mutex.frames) {
    place = place * 0x9E3779B97F4A7C15U + std::hash<const void*>()(frame);
  }
  return place;
}

// Under g_lock.
bool is_known(std::size_t place) noexcept {
  return std::find(std::begin(g_places), std::end(g_places), place) != std::end(g_places);
}

// By the report's thread alone.
class Reporter {
 public:
  void tell(const Holder& holder) {
    Symbols symbols;
    const Symbols::Place& place = symbols.of_program(holder.mutex.frames, HeldMutex::kFrames);
    std::string const where = place.function + place.where;
    if (std::find(told_.begin(), told_.end(), where) != told_.end()) {
      return;
    }
    told_.push_back(where);
    Snapshot snapshot;
    Snapshot::Group& group = snapshot.groups.emplace_back();
    group.state = is_end(holder) ? "ends" : holder.why != nullptr ? holder.why : "yields";
    group.name = holder.name;
    group.created_at = holder.created_at;
    group.members.push_back({holder.id, holder.created_by, nullptr, 0});
    group.cut = holder.count > std::size(holder.frames);
    group.frames.assign(holder.frames,
                        holder.frames + std::min(holder.count, std::size(holder.frames)));
    std::string text = "hamgam: goroutine " + std::to_string(holder.id);
    text += is_end(holder) ? " ends" : holder.why != nullptr ? " waits" : " yields";
    text += " while its thread has a mutex that is not ours";
    text += holder.held > 1 ? ", and " + std::to_string(holder.held - 1) + " more" : "";
    text += "; it was locked at\n" + place.function + "\n\t" + place.where + "\n";
    write_snapshot(
        snapshot,
        [](void* to, std::string_view paragraph) { *static_cast<std::string*>(to) += paragraph; },
        &text);
    text += "\n";
    write_error(text);
  }

 private:
  static bool is_end(const Holder& holder) noexcept {
    return holder.why != nullptr && std::string_view(holder.why) == kTraceEnded;
  }

  std::vector<std::string> told_;
};

void tell(const Holder& holder) {
  static constinit Immortal<Reporter> reporter;
  reporter.value.tell(holder);
}

constinit ReportQueue<Holder, kMost> g_reports("hamgam-mutexes", "mutexes", &tell);

// What is known of it, before any lock is taken: a stack takes a while.
Holder describe(const Goroutine& g, const char* why, const HeldMutex& mutex,
                std::size_t held) noexcept {
  Holder holder{};
  holder.id = g.id.load(kRelaxed);  // relaxed: ours
  holder.created_by = g.created_by;
  holder.created_at = g.created_at;
  holder.why = why;
  copy_name(g, holder.name, sizeof holder.name);
  holder.held = held;
  holder.mutex = mutex;
  holder.count = unwind_here(holder.frames, std::size(holder.frames));
  return holder;
}

bool is_news(std::size_t place) noexcept {
  std::lock_guard const guard(g_lock);
  return !is_known(place);
}

// Unless another was there at the same time.
void put(const Holder& holder, std::size_t place) noexcept {
  std::lock_guard const guard(g_lock);
  if (!is_known(place) && g_reports.put(holder)) {
    g_places[g_next_place++ % kPlaces] = place;
  }
}

// Of a thread nobody asks: it unlocks its own.
std::size_t frames_above(const void* frame, const void** frames, std::size_t most) noexcept {
  const Goroutine* const g = current_goroutine();
  return g != nullptr && g->stack != nullptr
             ? follow_frames(frame, g->stack->bottom, g->stack->size, frames, most)
             : 0;
}

void* find(const char* name) noexcept { return dlsym(RTLD_DEFAULT, name); }

[[maybe_unused]] const bool kAskedFor = [] {
  if (debug_asks_for("mutexes") && !watch_held_mutexes()) {
    write_error(
        "hamgam: HAMGAM_DEBUG: \"mutexes\" ignored: the program is neither linked with "
        "hamgam::mutexes nor is libhamgam_mutexes.so preloaded\n");
  }
  return true;
}();

}  // namespace

bool watch_held_mutexes() noexcept {
  auto const note = reinterpret_cast<NoteMutexes>(find(kNoteMutexes));
  auto const taken = reinterpret_cast<TakeHeldMutexes>(find(kTakeHeldMutexes));
  if (note == nullptr || taken == nullptr) {
    return false;
  }
  const void* frame = nullptr;
  (void)unwind_here(&frame, 1);   // its first time takes memory, perhaps
  g_take.store(taken, kRelaxed);  // relaxed: a function
  note(&frames_above);
  // relaxed: sooner or later
  if ((g_coarse_clock.watched.fetch_or(kWatchMutexes, kRelaxed) & kWatchMutexes) == 0) {
    (void)std::atexit([] { g_reports.tell_at_exit(); });
  }
  return true;
}

void look_for_held_mutexes(const Goroutine& g, const char* why) noexcept {
  TakeHeldMutexes const take_held = g_take.load(kRelaxed);  // relaxed: a function
  HeldMutex mutex{};
  std::size_t const held = take_held != nullptr ? take_held(&mutex, 1) : 0;
  if (held == 0) {
    return;
  }
  std::size_t const place = place_of(mutex);
  bool const news = is_news(place);
  if (news) {
    put(describe(g, why, mutex, held), place);
  }
  if (news || !g_reports.has_thread()) {
    (void)g_reports.ask();  // if there is no thread, with the next one
  }
  g_seen.fetch_add(1, kRelease);  // [held.1] release, pairs with [held.2]: it was put
}

std::uint64_t count_mutex_reports() noexcept {
  std::uint64_t const seen = g_seen.load(kAcquire);  // [held.2] acquire, pairs with [held.1]
  g_reports.await(patience());
  return seen;
}

void forget_held_mutexes() noexcept { g_reports.forget(); }

}  // namespace hamgam::inline HAMGAM_ABI::detail
