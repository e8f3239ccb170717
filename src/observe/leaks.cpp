// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <algorithm>
#include <chrono>
#include <mutex>
#include <new>
#include <string_view>
#include <utility>

#include "base/own_containers.h"
#include "hamgam/observe.h"
#include "hamgam/time.h"
#include "observe/infos.h"
#include "os/signals.h"
#include "os/spin_lock.h"
#include "os/thread.h"
#include "sched/death.h"
#include "sched/dump.h"
#include "sched/exit.h"
#include "sched/park.h"

// LeakCheck. Each has a number, which goroutines hand down when they start others (set_scope), so
// whose descendant one is needs no search among those in between, who may be gone. A check that is
// made inside of another one's reach remembers that, and what it sees belongs to both.
//
// When is one left behind, and not about to end? Not after so many looks, or milliseconds: on a
// loaded machine whoever is to end it may not have come so far. But if nobody runs and nothing is
// left that could wake anybody (nobody_else_runs), it is for good. Programs that have threads which
// are not known, or timers, have to wait for the limit.

namespace hamgam::inline HAMGAM_ABI {

namespace {

using namespace detail;
using std::chrono::steady_clock;

constexpr auto kFirstNap = std::chrono::microseconds(100);
constexpr auto kLastNap = std::chrono::milliseconds(5);

// All scopes that ever were: in which one each began. Thread safety: its own lock.
class Scopes {
 public:
  std::uint64_t add(std::uint64_t outer) {
    std::lock_guard const guard(lock_);
    all_.push_back({outer, false});
    return all_.size();
  }

  void end(std::uint64_t scope) noexcept {
    std::lock_guard const guard(lock_);
    all_[scope - 1].ended = true;
  }

  // The innermost that has not ended, from this one on.
  [[nodiscard]] std::uint64_t living(std::uint64_t scope) noexcept {
    std::lock_guard const guard(lock_);
    while (scope != 0 && all_[scope - 1].ended) {
      scope = all_[scope - 1].outer;
    }
    return scope;
  }

  [[nodiscard]] bool is_in(std::uint64_t scope, std::uint64_t outer) noexcept {
    std::lock_guard const guard(lock_);
    while (scope != 0 && scope != outer) {
      scope = all_[scope - 1].outer;
    }
    return scope != 0;
  }

 private:
  struct Scope {
    std::uint64_t outer;
    bool ended;
  };
  SpinLock lock_;
  OwnVector<Scope> all_;
};

Scopes& scopes() {
  static auto* const kScopes = new Scopes;  // for those that are asked while static objects die
  return *kScopes;
}

struct Allowed {
  std::string wait_reason;
  std::string function;
};

bool names(const Symbols::Place& place, std::string_view function) {
  return place.function.find(function) != std::string::npos;
}

bool allows(const Allowed& allowed, const Snapshot::Group& group, Symbols& symbols) {
  auto const place = [&](const void* address) -> const Symbols::Place& {
    return symbols.at(static_cast<const char*>(address) - 1);
  };
  if (!allowed.wait_reason.empty() && allowed.wait_reason != group.state) {
    return false;
  }
  return allowed.function.empty() || names(place(group.created_at), allowed.function) ||
         std::any_of(group.frames.begin(), group.frames.end(),
                     [&](const void* frame) { return names(place(frame), allowed.function); });
}

// Who exits waits for no reader.
void tell(std::string_view text) noexcept {
  if (patience() == kForever) {
    write_error(text);
  } else {
    (void)write_error_within(text, kDumpPatience);
  }
}

}  // namespace

namespace observe {

struct LeakCheck::State {
  std::uint64_t scope = 0;
  Goroutine* owner = nullptr;  // null: a plain thread
  std::vector<Allowed> allowed;
  bool asked = false;

  [[nodiscard]] std::uint64_t current() const noexcept {
    return owner != nullptr ? scope_of(*owner) : thread_scope();
  }
  void set(std::uint64_t to) const noexcept {
    if (owner != nullptr) {
      set_scope(*owner, to);
    } else {
      set_thread_scope(to);
    }
  }

  // The goroutines that are there, by their ids.
  [[nodiscard]] std::vector<std::uint64_t> find() const {
    TsanIgnore const ignore;  // records change meanwhile
    struct Search {
      const State& state;
      std::vector<std::uint64_t> found;
    } search{*this, {}};
    for_each_record(
        [](Goroutine& g, void* raw) {
          auto& [state, found] = *static_cast<Search*>(raw);
          std::uint64_t const scope = scope_of(g);
          std::uint64_t const id = g.id.load(kRelaxed);  // relaxed: a glance
          if (&g != state.owner && scopes().is_in(scope, state.scope)) {
            found.push_back(id);  // 0: it begins or ends
          }
        },
        &search);
    std::sort(search.found.begin(), search.found.end());
    return std::move(search.found);
  }

  // Those of the snapshot that may not stay.
  [[nodiscard]] Snapshot look(const std::vector<std::uint64_t>& ids, Ask ask) const {
    Snapshot snapshot;
    if (ids.empty()) {
      return snapshot;
    }
    snapshot = take_snapshot(ask);
    Symbols symbols;
    for (Snapshot::Group& group : snapshot.groups) {
      std::erase_if(group.members, [&](const Snapshot::Member& member) {
        return !std::binary_search(ids.begin(), ids.end(), member.id);
      });
    }
    std::erase_if(snapshot.groups, [&](const Snapshot::Group& group) {
      return group.members.empty() ||
             std::any_of(allowed.begin(), allowed.end(),
                         [&](const Allowed& one) { return allows(one, group, symbols); });
    });
    return snapshot;
  }

  // One that was found may have started another where nobody looked any more, and ended before the
  // snapshot: so the same are there before and after that.
  [[nodiscard]] bool are_settled(const std::vector<std::uint64_t>& ids) const {
    return (ids.empty() || ids.front() != 0) && find() == ids;
  }

  Snapshot wait(std::chrono::nanoseconds limit) {
    asked = true;
    auto const start = steady_clock::now();
    std::chrono::nanoseconds nap = kFirstNap;
    for (;;) {
      bool const last = nobody_else_runs() || steady_clock::now() - start >= limit;
      std::vector<std::uint64_t> const ids = find();
      Snapshot snapshot = look(ids, last ? Ask::kThreads : Ask::kNobody);
      if (last || (snapshot.groups.empty() && are_settled(ids))) {
        return snapshot;
      }
      sleep(nap);
      nap = std::min<std::chrono::nanoseconds>(2 * nap, kLastNap);
    }
  }
};

LeakCheck::LeakCheck() : state_(std::make_unique<State>()) {
  TsanIgnore const ignore;  // all scopes are under a lock of ours
  state_->owner = current_goroutine();
  state_->scope = scopes().add(state_->current());
  state_->set(state_->scope);
}

LeakCheck::~LeakCheck() {
  TsanIgnore const ignore;
  // Not simply back to the outer one: they may be destroyed in any order.
  scopes().end(state_->scope);
  state_->set(scopes().living(state_->current()));
  if (state_->asked) {
    return;
  }
  try {
    tell(report());
  } catch (const std::bad_alloc&) {
    tell("there is no memory to look for goroutines that leaked\n");
  }
}

LeakCheck& LeakCheck::allow(std::string wait_reason, std::string function) {
  state_->allowed.push_back({std::move(wait_reason), std::move(function)});
  return *this;
}

std::vector<GoroutineInfo> LeakCheck::leaks(std::chrono::nanoseconds limit) {
  TsanHide const hide;
  return infos_of(state_->wait(limit));
}

std::string LeakCheck::report(std::chrono::nanoseconds limit) {
  TsanHide const hide;
  Snapshot const snapshot = state_->wait(limit);
  std::size_t count = 0;
  for (const Snapshot::Group& group : snapshot.groups) {
    count += group.members.size();
  }
  if (count == 0) {
    return {};
  }
  std::string text = std::to_string(count) + (count == 1 ? " goroutine" : " goroutines");
  text += " leaked:\n";
  write_snapshot(
      snapshot,
      [](void* to, std::string_view paragraph) { *static_cast<std::string*>(to) += paragraph; },
      &text);
  return text;
}

}  // namespace observe

}  // namespace hamgam::inline HAMGAM_ABI
