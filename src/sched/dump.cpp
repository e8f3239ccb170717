// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sched/dump.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <new>

#include "os/signals.h"
#include "os/symbols.h"
#include "sched/death.h"
#include "sched/park.h"
#include "sched/readable.h"
#include "sched/trace.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr std::size_t kShownIds = 10;
constexpr std::size_t kMostGroups = 1000;  // in a process that dies
constexpr Nanos kSecond = 1000 * kMillisecond;
constexpr Nanos kShownAge = 10 * kSecond;

#define HAMGAM_TEXT_OF(x) #x
#define HAMGAM_TEXT(x) HAMGAM_TEXT_OF(x)
constexpr std::string_view kAbi = HAMGAM_TEXT(HAMGAM_ABI);
constexpr std::string_view kOwn = "hamgam::" HAMGAM_TEXT(HAMGAM_ABI) "::";

constinit atomic<FindOwners> g_find_owners{nullptr};

bool begins(std::string_view text, std::string_view with) noexcept {
  return text.substr(0, with.size()) == with;
}

bool skip(std::string_view& name, std::string_view text) noexcept {
  bool const there = name.substr(0, text.size()) == text;
  name.remove_prefix(there ? text.size() : 0);
  return there;
}

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

// Of a mangled name what is behind "N", to the end of what is nested: is it a template's instance,
// for types that are not the library's?
bool is_instance_for_others(std::string_view name) noexcept {
  while (!name.empty() && name.front() != 'E') {
    if (is_digit(name.front())) {
      std::size_t length = 0;
      for (; !name.empty() && is_digit(name.front()); name.remove_prefix(1)) {
        length = std::min(name.size(), 10 * length + static_cast<std::size_t>(name.front() - '0'));
      }
      if (name.substr(0, length) == "_GLOBAL__N_1") {
        return false;  // there is none in its headers
      }
      name.remove_prefix(std::min(length, name.size()));
    } else if (skip(name, "I")) {
      while (skip(name, "L")) {  // a number
        name.remove_prefix(std::min(name.find('E') + 1, name.size()));
      }
      while (skip(name, "Z")) {
      }
      // "NS1_": nothing but the library's namespaces was named so far. "NS_": the outermost, in
      // which it has nothing but the next. "NSt": std.
      if (name.size() < 3 || name.front() == 'E' || name[2] == 't' || name[2] == '_' ||
          !skip(name, "NS")) {
        return !name.empty() && name.front() != 'E';
      }
      name.remove_prefix(std::min(name.find('_') + 1, name.size()));
      return is_instance_for_others(name);
    } else {
      name.remove_prefix(1);
    }
  }
  return false;
}

// A function in the library's namespace: "_ZN6hamgam2v0...", "_ZNK...", or "_ZZN..." for those that
// are inside of one.
Symbols::Owner owner_of(std::string_view mangled) noexcept {
  if (mangled == "hamgam_fiber_start" || mangled == "hamgam_fiber_entry") {
    return Symbols::kLibrary;
  }
  if (mangled.substr(0, 4) == "_ZSt") {
    return Symbols::kStandard;
  }
  if (!skip(mangled, "_Z")) {
    return Symbols::kOthers;
  }
  while (skip(mangled, "Z")) {
  }
  if (!skip(mangled, "N")) {
    return Symbols::kOthers;
  }
  while (skip(mangled, "K") || skip(mangled, "R") || skip(mangled, "O")) {
  }
  if (!skip(mangled, "6hamgam")) {
    return Symbols::kOthers;
  }
  while (!mangled.empty() && is_digit(mangled.front())) {
    mangled.remove_prefix(1);
  }
  if (!skip(mangled, kAbi)) {
    return Symbols::kOthers;
  }
  return is_instance_for_others(mangled) ? Symbols::kBoth : Symbols::kLibrary;
}

// Is `inner` the call of the function object that `outer` is an instance for?
bool is_called_by(const std::string& outer, const std::string& inner) {
  std::size_t const end = inner.rfind("::operator()");
  if (end == std::string::npos) {
    return false;
  }
  std::size_t const place = outer.find('<' + inner.substr(0, end));
  return place != std::string::npos && place + 1 + end < outer.size() &&
         std::string_view("> &").find(outer[place + 1 + end]) != std::string_view::npos;
}

class Writer {
 public:
  Writer(const Snapshot& snapshot, Write write, void* to)
      : snapshot_(snapshot), write_(write), to_(to) {}

  void group(const Snapshot::Group& group) {
    text_.assign(1, '\n');
    head(group);
    stack(group);
    if (group.frames.empty() && group.elsewhere) {
      text_ += "\tgoroutine running on other thread; stack unavailable\n";
    }
    created_by(group);
    write_(to_, text_);
  }

  void thread(const Snapshot::Thread& thread) {
    text_ = "\nthread ";
    number(static_cast<std::uint64_t>(thread.id));
    state(thread.group);
    text_ += "\n";
    stack(thread.group);
    if (thread.group.elsewhere) {
      text_ += "\tstack unavailable\n";
    }
    write_(to_, text_);
  }

 private:
  void number(std::uint64_t n) { text_ += std::to_string(n); }

  void state(const Snapshot::Group& group) {
    text_ += " [";
    text_ += group.state;
    ages(group);
    text_ += "]:";
  }

  void stack(const Snapshot::Group& group) {
    object(group);
    auto const [first, end] = shown_frames(group, symbols_);
    for (std::size_t i = first; i < end; ++i) {
      place(static_cast<const char*>(group.frames[i]) - 1);
    }
    if (group.cut) {
      text_ += "...additional frames elided...\n";
    }
  }

  void head(const Snapshot::Group& group) {
    auto const& members = group.members;
    text_ += members.size() == 1 ? "goroutine " : "goroutines ";
    for (std::size_t i = 0; i < std::min(members.size(), kShownIds); ++i) {
      text_ += i == 0 ? "" : ", ";
      number(members[i].id);
    }
    if (members.size() > kShownIds) {
      text_ += " ... (";
      number(members.size());
      text_ += " in all)";
    }
    state(group);
    if (!group.name.empty()) {
      text_ += " ";
      text_ += printable(group.name);
    }
    text_ += "\n";
  }

  [[nodiscard]] std::string age_text(Nanos since) const {
    Nanos const age = since == 0 ? 0 : snapshot_.time - since;
    if (age < kShownAge) {
      return {};
    }
    if (age < 60 * kSecond) {
      return std::to_string(age / kSecond) + " seconds";
    }
    Nanos const minutes = age / (60 * kSecond);
    return std::to_string(minutes) + (minutes == 1 ? " minute" : " minutes");
  }

  void ages(const Snapshot::Group& group) {
    auto const by_since = [](const auto& a, const auto& b) { return a.since < b.since; };
    auto const [oldest, youngest] =
        std::minmax_element(group.members.begin(), group.members.end(), by_since);
    std::string const most = age_text(oldest->since);
    std::string least = age_text(youngest->since);
    if (most.empty()) {
      return;
    }
    text_ += ", ";
    if (least != most) {
      if (least.empty()) {
        text_ += "up";
      } else {
        // "3 to 9 minutes"
        std::size_t const unit = least.find(' ');
        bool const same = most.substr(most.find(' ')) == least.substr(unit);
        text_ += same ? least.substr(0, unit) : least;
      }
      text_ += " to ";
    }
    text_ += most;
  }

  // If all of them wait for the same.
  void object(const Snapshot::Group& group) {
    const void* const object = group.members.front().object;
    bool const same = std::all_of(group.members.begin(), group.members.end(),
                                  [object](const auto& member) { return member.object == object; });
    if (object != nullptr && same) {
      char line[64];
      std::snprintf(line, sizeof line, "waits for %p", object);
      text_ += line;
      if (std::string const name = find_object(object); !name.empty()) {
        text_ += " \"" + name + "\"";
      }
      owners(group, object);
      text_ += "\n";
    }
  }

  // ", held by goroutine 7, which locked it at f()", as far as that is known, and who waited has
  // not got it meanwhile.
  void owners(const Snapshot::Group& group, const void* object) {
    constexpr std::size_t kShown = 3;
    LockOwner all[kShown];
    std::size_t const count = find_owners(group.state, object, all, kShown);
    std::size_t const shown = std::min(count, kShown);
    for (std::size_t i = 0; i < shown; ++i) {
      auto const& members = group.members;
      if (all[i].goroutine != 0 &&
          std::any_of(members.begin(), members.end(), [&](const Snapshot::Member& member) {
            return member.id == all[i].goroutine;
          })) {
        return;
      }
    }
    for (std::size_t i = 0; i < shown; ++i) {
      text_ += i != 0 ? " and " : all[i].shares ? ", read by " : ", held by ";
      text_ += all[i].goroutine != 0 ? "goroutine " : "thread ";
      text_ += std::to_string(all[i].goroutine != 0 ? all[i].goroutine
                                                    : static_cast<std::uint64_t>(all[i].thread));
      if (all[i].has_ended) {
        text_ += " (ended)";
      }
    }
    if (count > shown) {
      text_ += " and others";
    } else if (count == 1 && all[0].frames[0] != nullptr) {
      const Symbols::Place& taken = symbols_.of_program(all[0].frames, LockOwner::kFrames);
      text_ += ", which locked it at " + taken.function + "\n\t" + taken.where;
    }
  }

  void place(const void* address) {
    const Symbols::Place& found = symbols_.at(address);
    text_ += found.function;
    text_ += "\n\t";
    text_ += found.where;
    text_ += "\n";
  }

  void created_by(const Snapshot::Group& group) {
    std::uint64_t const creator = group.members.front().created_by;
    bool const same =
        std::all_of(group.members.begin(), group.members.end(),
                    [creator](const auto& member) { return member.created_by == creator; });
    if (!same) {
      text_ += "created by several goroutines at ";
    } else if (creator == 0) {
      text_ += "created by a plain thread at ";
    } else {
      text_ += "created by goroutine ";
      number(creator);
      text_ += " at ";
    }
    place(static_cast<const char*>(group.created_at) - 1);
  }

  const Snapshot& snapshot_;
  Write const write_;
  void* const to_;
  Symbols symbols_;
  std::string text_;
};

}  // namespace

const Symbols::Place& Symbols::at(const void* address) {
  auto const [entry, fresh] = places_.try_emplace(address);
  Place& place = entry->second;
  if (!fresh) {
    return place;
  }
  Symbol const symbol = find_symbol(address);
  char where[32];
  if (symbol.name != nullptr) {
    Text const text = readable_function(symbol.name);
    place.function = text != nullptr ? text.get() : symbol.name;
    place.owner = owner_of(symbol.name);
  } else {
    place.function = "??";
  }
  if (symbol.file != nullptr) {
    place.where = symbol.file;
    std::snprintf(where, sizeof where, "(+0x%tx)", symbol.offset);
  } else {
    std::snprintf(where, sizeof where, "%p", address);
  }
  place.where += where;
  return place;
}

const Symbols::Place& Symbols::of_program(const void* const* frames, std::size_t count) {
  auto const place = [&](std::size_t i) -> const Place& {
    return at(static_cast<const char*>(frames[i]) - 1);
  };
  for (std::size_t i = 0; i < count && frames[i] != nullptr; ++i) {
    const Place& found = place(i);
    if (found.owner == kOthers && found.function != "??" && !begins(found.function, kOwn) &&
        !begins(found.function, "std::") && !begins(found.function, "void std::") &&
        !begins(found.function, "__gthread_")) {
      return found;
    }
  }
  return place(0);
}

void set_find_owners(FindOwners find) noexcept {
  g_find_owners.store(find, kRelease);  // [owners.1] release, pairs with [owners.2]
}

std::size_t find_owners(std::string_view reason, const void* object, LockOwner* owners,
                        std::size_t most) noexcept {
  // [owners.2] acquire, pairs with [owners.1]: what it looks at
  FindOwners const find = g_find_owners.load(kAcquire);
  bool const lock = begins(reason, "sync.Mutex") || begins(reason, "sync.RWMutex");
  return find != nullptr && lock && object != nullptr ? find(object, owners, most) : 0;
}

ShownFrames shown_frames(const Snapshot::Group& group, Symbols& symbols) {
  auto const place = [&](std::size_t i) -> const Symbols::Place& {
    return symbols.at(static_cast<const char*>(group.frames[i]) - 1);
  };
  ShownFrames shown{0, group.frames.size()};
  if (shown.end > 1 && place(0).function == "syscall" && place(1).owner == Symbols::kLibrary) {
    ++shown.first;  // it waits on its thread
  }
  while (shown.first < shown.end && place(shown.first).owner == Symbols::kLibrary) {
    ++shown.first;
  }
  while (!group.cut && shown.first < shown.end && place(shown.end - 1).owner == Symbols::kLibrary) {
    --shown.end;
  }
  if (!group.cut && shown.first < shown.end && place(shown.end - 1).owner == Symbols::kBoth) {
    const std::string& caller = place(shown.end - 1).function;
    for (std::size_t i = shown.end - 1; i-- > shown.first;) {
      const Symbols::Place& inner = place(i);
      if (inner.owner == Symbols::kOthers) {
        shown.end = is_called_by(caller, inner.function) ? i + 1 : shown.end;
        break;
      }
    }
  }
  return shown;
}

void write_snapshot(const Snapshot& snapshot, Write write, void* to, std::size_t most_groups) {
  Writer writer(snapshot, write, to);
  for (const Snapshot::Group& group : snapshot.groups) {
    if (most_groups-- == 0) {
      write(to, "\n...and more\n");
      return;
    }
    writer.group(group);
  }
  for (const Snapshot::Thread& thread : snapshot.threads) {
    writer.thread(thread);
  }
}

void dump_others(const Goroutine* told) noexcept {
  struct Unread {};
  auto const write = [](void* /*to*/, std::string_view text) {
    if (!tell_of_death(text)) {
      throw Unread();
    }
  };
  TsanIgnore const ignore;
  try {
    Snapshot const snapshot = take_snapshot(Ask::kThreads, told, Hold::kDying);
    write_snapshot(snapshot, write, nullptr, kMostGroups);
  } catch (const std::bad_alloc&) {
    (void)tell_of_death("\n...and others, for whom there is no memory\n");
  } catch (const Unread&) {  // NOLINT(bugprone-empty-catch): there is nobody to tell
  }
  write_flight(nullptr);
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
