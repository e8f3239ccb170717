// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sched/snapshot.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "fiber/unwind.h"
#include "sched/death.h"
#include "sched/look.h"
#include "sched/scheduler.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr int kTries = 3;                            // to see one that keeps changing
constexpr Nanos kMostPatience = 500 * kMillisecond;  // with threads that do not answer, in all
constexpr std::uint64_t kPrime = 0x9E3779B97F4A7C15U;

// What is read of one goroutine, without memory being asked for: others wait for it.
struct Glance {
  Snapshot::Member member;
  const char* state;
  bool waits;
  bool elsewhere;
  bool held;
  bool moved;            // it was on that thread no more
  ThreadRecord* thread;  // that is asked for its stack
  bool named;
  const void* created_at;
  std::size_t count;
  const void* frames[Snapshot::kFrames];
  char name[kShownName];
};

// Which goroutines have a thread at the moment.
class Running {
 public:
  struct One {
    const Goroutine* goroutine;
    ThreadRecord* thread;  // null: it can't be asked
    bool blocking;
    Nanos since;  // it is in blocking(), or waits on its thread
  };

  void look() {
    all_.clear();
    g_places.for_each([this](const Worker& w) {
      // relaxed throughout: a glance
      all_.push_back({w.current.load(kRelaxed), w.record, w.in_blocking.load(kRelaxed),
                      w.stays_since.load(kRelaxed)});
    });
    std::sort(all_.begin(), all_.end(), is_before);
  }

  // Null: it does not.
  [[nodiscard]] const One* find(const Goroutine* g) const noexcept {
    auto const found =
        std::lower_bound(all_.begin(), all_.end(), One{g, nullptr, false, 0}, is_before);
    return found != all_.end() && found->goroutine == g ? &*found : nullptr;
  }

 private:
  static bool is_before(const One& a, const One& b) noexcept {
    return std::less<>()(a.goroutine, b.goroutine);
  }

  std::vector<One> all_;
};

class Collector {
 public:
  Collector(Ask ask, const Goroutine* except, Hold::Patience patience)
      : except_(except),
        patience_(patience),
        glances_(new Glance[Hold::kMost]),
        asks_(ask == Ask::kThreads),
        looks_left_(asks_ ? kMostPatience : 0) {}

  void add(Goroutine& g) {
    if (g.id.load(kRelaxed) == 0 || &g == except_) {  // relaxed: a glance
      return;
    }
    batch_[count_++] = &g;
    if (count_ == Hold::kMost) {
      flush();
    }
  }

  Snapshot finish() {
    flush();
    if (asks_) {
      add_threads();
    }
    for (Snapshot::Group& group : snapshot_.groups) {
      std::sort(group.members.begin(), group.members.end(),
                [](const auto& a, const auto& b) { return a.id < b.id; });
    }
    std::sort(snapshot_.groups.begin(), snapshot_.groups.end(), [](const auto& a, const auto& b) {
      return a.members.front().id < b.members.front().id;
    });
    snapshot_.time = now();
    return std::move(snapshot_);
  }

 private:
  // Those that are off their stacks are looked at first, then those that have a thread. One that
  // has left that meanwhile is looked at once more.
  void flush() {
    for (int tries = 1; count_ != 0; ++tries) {
      {
        Hold const hold(batch_, count_, patience_);
        for (std::size_t i = 0; i < count_; ++i) {
          look_at(*batch_[i], hold.has(i), glances_[i]);
        }
      }
      running_.look();
      for (std::size_t i = 0; i < count_; ++i) {
        look_at_thread(*batch_[i], glances_[i]);
      }
      ask_threads();
      std::size_t again = 0;
      for (std::size_t i = 0; i < count_; ++i) {
        if (glances_[i].moved && tries < kTries) {
          batch_[again++] = batch_[i];
        } else if (glances_[i].member.id != 0) {  // else it has ended
          put(glances_[i]);
        }
      }
      count_ = again;
      note_telling();
    }
  }

  void look_at_thread(const Goroutine& g, Glance& glance) const noexcept {
    const Running::One* const one = running_.find(&g);
    if (glance.state == nullptr) {
      glance.elsewhere = one != nullptr && &g != current_goroutine();
      glance.state = one == nullptr ? "runnable" : one->blocking ? "blocking" : "running";
      glance.member.since = one != nullptr && one->blocking ? one->since : 0;
    } else if (one != nullptr && glance.state == kOnItsThread) {
      glance.member.since = one->since;
      if (one->thread != nullptr) {
        // relaxed throughout: a glance
        const char* const reason = one->thread->reason.load(kRelaxed);
        glance.member.object =
            reason == nullptr ? nullptr : object_of(reason, one->thread->object.load(kRelaxed));
      }
    }
    if (&g == current_goroutine()) {
      glance.count = unwind_here(glance.frames, Snapshot::kFrames);
    } else if (one != nullptr && !glance.held) {
      glance.thread = one->thread;
    }
  }

  void ask_threads() noexcept {
    auto const asked = [this](std::size_t i) { return glances_[i].thread != nullptr; };
    std::size_t first = 0;
    while (first < count_ && !asked(first)) {
      ++first;
    }
    if (first == count_ || looks_left_ <= 0) {
      return;
    }
    Nanos const start = now();
    Looks looks(std::min(kLookPatience, looks_left_), patience_ == Hold::kDying);
    for (std::size_t i = first; i < count_; ++i) {
      if (asked(i)) {
        looks.ask(*glances_[i].thread);
      }
    }
    looks.wait();
    for (std::size_t i = first, answer = 0; i < count_; ++i) {
      if (asked(i)) {
        take_answer(*batch_[i], glances_[i], looks.answer(answer++));
      }
    }
    looks_left_ -= now() - start;
  }

  static void take_answer(const Goroutine& g, Glance& glance, const Look* look) noexcept {
    if (look == nullptr) {
      return;
    }
    glance.moved = look->goroutine != &g || look->id != glance.member.id;
    if (!glance.moved) {
      glance.count = look->count;
      std::copy_n(look->frames, std::min(look->count, Snapshot::kFrames), glance.frames);
      glance.elsewhere = glance.elsewhere && look->count == 0;
    }
  }

  // Plain threads that wait for something of ours.
  void add_threads() {
    std::vector<ThreadRecord*> waiting;
    for_each_thread(
        [](ThreadRecord& thread, void* all) {
          // relaxed throughout: a glance
          if (thread.reason.load(kRelaxed) != nullptr && !thread.as_goroutine.load(kRelaxed)) {
            static_cast<std::vector<ThreadRecord*>*>(all)->push_back(&thread);
          }
        },
        &waiting);
    for (std::size_t first = 0; first < waiting.size(); first += Looks::kMost) {
      std::size_t const count = std::min(waiting.size() - first, Looks::kMost);
      look_at_threads(waiting.data() + first, count);
    }
    std::sort(snapshot_.threads.begin(), snapshot_.threads.end(),
              [](const auto& a, const auto& b) { return a.id < b.id; });
  }

  void look_at_threads(ThreadRecord* const* threads, std::size_t count) {
    std::size_t const before = snapshot_.threads.size();
    for (std::size_t i = 0; i < count; ++i) {
      // relaxed throughout: a glance
      const char* const reason = threads[i]->reason.load(kRelaxed);
      Snapshot::Thread thread{threads[i]->id.load(kRelaxed), {}};
      thread.group.state = reason;
      thread.group.waits = true;
      thread.group.elsewhere = true;
      thread.group.members.push_back(
          {0, 0, reason == nullptr ? nullptr : object_of(reason, threads[i]->object.load(kRelaxed)),
           threads[i]->since.load(kRelaxed)});
      thread.group.frames.reserve(Snapshot::kFrames);  // Looks must not live over a wait for it
      snapshot_.threads.push_back(std::move(thread));
    }
    Nanos const start = now();
    Looks looks(std::min(kLookPatience, looks_left_), patience_ == Hold::kDying);
    for (std::size_t i = 0; i < count; ++i) {
      looks.ask(*threads[i]);
    }
    looks.wait();
    for (std::size_t i = 0; i < count; ++i) {
      Snapshot::Group& group = snapshot_.threads[before + i].group;
      const Look* const look = looks.answer(i);
      if (look == nullptr || look->goroutine != nullptr) {
        continue;
      }
      if (look->reason != group.state) {
        group.state = nullptr;  // it waits no more
        continue;
      }
      std::size_t const frames = std::min(look->count, Snapshot::kFrames);
      group.cut = look->count > frames;
      group.elsewhere = frames == 0;
      group.frames.assign(look->frames, look->frames + frames);
    }
    looks_left_ -= now() - start;
    std::erase_if(snapshot_.threads, [](const auto& one) { return one.group.state == nullptr; });
  }

  // The object by which people know what somebody waits for; null if there is none.
  static const void* object_of(std::string_view reason, const void* place) noexcept {
    constexpr std::uintptr_t kApart = ~(~std::uintptr_t{0} >> 1);  // see apart() in wait/
    constexpr std::uintptr_t kReadersAndOthers = 3;                // places beside an RWMutex's own
    if (reason == "sleep" || reason == "IO wait") {
      return nullptr;
    }
    auto const address = reinterpret_cast<std::uintptr_t>(place) & ~kApart;
    bool const rwmutex = reason.substr(0, 12) == "sync.RWMutex";
    // NOLINTNEXTLINE(performance-no-int-to-ptr): to be printed
    return reinterpret_cast<const void*>(rwmutex ? address & ~kReadersAndOthers : address);
  }

  // `held`: it is off its stack, and nothing of it changes.
  static void look_at(Goroutine& g, bool held, Glance& glance) noexcept {
    // relaxed throughout: held, or a glance
    const char* const reason = g.wait_reason.load(kRelaxed);
    glance.member = {g.id.load(kRelaxed), g.created_by, nullptr, 0};
    glance.state = reason;
    glance.waits = reason != nullptr;
    glance.elsewhere = false;
    glance.held = held;
    glance.moved = false;
    glance.thread = nullptr;
    glance.created_at = g.created_at;
    glance.count = 0;
    if (held) {
      if (reason == nullptr) {
        glance.state = "runnable";
      } else if (const ParkNote* note = note_of(g)) {
        glance.member.object = object_of(reason, note->object);
        glance.member.since = note->since;
      }
      glance.count = unwind(g.fiber.context, glance.frames, Snapshot::kFrames);
    }
    glance.named = g.extras != nullptr;
    if (glance.named) {
      copy_name(g, glance.name, sizeof glance.name);
    }
  }

  static std::uint64_t hash_of(const Glance& glance, std::size_t frames) noexcept {
    auto hash = reinterpret_cast<std::uintptr_t>(glance.state) * kPrime;
    auto const mix = [&hash](const void* value) {
      hash = (hash ^ reinterpret_cast<std::uintptr_t>(value)) * kPrime;
      hash ^= hash >> 29;
    };
    mix(glance.created_at);
    for (std::size_t i = 0; i < frames; ++i) {
      mix(glance.frames[i]);
    }
    for (const char* c = glance.named ? glance.name : ""; *c != '\0'; ++c) {
      hash = (hash ^ static_cast<unsigned char>(*c)) * kPrime;
    }
    return hash;
  }

  void put(const Glance& glance) {
    std::size_t const frames = std::min(glance.count, Snapshot::kFrames);
    const char* const name = glance.named ? glance.name : "";
    for (std::uint64_t hash = hash_of(glance, frames);; ++hash) {
      auto const [place, fresh] = places_.try_emplace(hash, snapshot_.groups.size());
      if (fresh) {
        Snapshot::Group group;
        group.state = glance.state;
        group.waits = glance.waits;
        group.elsewhere = glance.elsewhere;
        group.cut = glance.count > frames;
        group.created_at = glance.created_at;
        group.name = name;
        group.frames.assign(glance.frames, glance.frames + frames);
        snapshot_.groups.push_back(std::move(group));
      }
      Snapshot::Group& group = snapshot_.groups[place->second];
      if (group.state == glance.state && group.created_at == glance.created_at &&
          group.elsewhere == glance.elsewhere && group.name == name &&
          std::equal(group.frames.begin(), group.frames.end(), glance.frames,
                     glance.frames + frames)) {
        group.members.push_back(glance.member);
        return;
      }
    }
  }

  const Goroutine* const except_;
  Hold::Patience const patience_;
  Goroutine* batch_[Hold::kMost] = {};
  std::size_t count_ = 0;
  std::unique_ptr<Glance[]> const glances_;
  bool const asks_;
  Nanos looks_left_;  // how long threads may take yet to answer, in all
  Running running_;
  std::unordered_map<std::uint64_t, std::size_t> places_;  // of groups, by hash
  Snapshot snapshot_;
};

}  // namespace

Snapshot take_snapshot(Ask ask, const Goroutine* except, Hold::Patience patience) {
  TsanIgnore const ignore;  // records change meanwhile: a dump is a glance
  Collector collector(ask, except, patience);
  for_each_record([](Goroutine& g, void* raw) { static_cast<Collector*>(raw)->add(g); },
                  &collector);
  return collector.finish();
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
