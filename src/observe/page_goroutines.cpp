// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <iterator>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "observe/page_parts.h"
#include "os/symbols.h"
#include "sched/dump.h"
#include "sched/readable.h"
#include "sched/snapshot.h"
#include "sync/lock_list.h"

// Who does what, and who has what others wait for.

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr std::size_t kMostGroups = 10'000;
constexpr Nanos kSecond = 1000 * kMillisecond;

Nanos wait_of(const Snapshot& snapshot, const Snapshot::Member& member) noexcept {
  return member.since == 0 ? 0 : std::max<Nanos>(0, snapshot.time - member.since);
}

std::string text_of(const Symbols::Place& place) {
  return "    " + place.function + "\n            " + place.where + "\n";
}

std::string name_of(const void* lock) {
  char address[32];
  std::snprintf(address, sizeof address, "%p", lock);
  std::string const name = find_object(lock);
  return name.empty() ? address : std::string(address) + " \"" + name + "\"";
}

// Within quotes of Graphviz's.
std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  for (char const c : text) {
    out.append(c == '"' || c == '\\' ? "\\" : "").push_back(c);
  }
  return out + "\"";
}

// Where the program itself took it; of code that is inline in the library's, that.
// There is a frame at least.
const Symbols::Place& place_of(const std::vector<const void*>& frames, Symbols& symbols) {
  const Symbols::Place& place = symbols.of_program(frames.data(), frames.size());
  if (place.owner != Symbols::kLibrary) {
    return place;
  }
  Snapshot::Group group;
  group.frames = frames;
  std::size_t const first = shown_frames(group, symbols).first;
  return symbols.at(static_cast<const char*>(frames[std::min(first, frames.size() - 1)]) - 1);
}

// Which lock was taken while one had which, and where.
PageReply lock_orders_page() {
  Symbols symbols;
  PageReply reply;
  reply.type = "text/vnd.graphviz; charset=utf-8";
  reply.body = "digraph locks {\n";
  for (const LockOrderInfo& info : lock_orders()) {
    reply.body +=
        "  " + in_quotes(name_of(info.first)) + " -> " + in_quotes(name_of(info.second)) +
        " [label=" + in_quotes(info.frames.empty() ? "" : place_of(info.frames, symbols).function) +
        "];\n";
  }
  reply.body += "}\n";
  return reply;
}

}  // namespace

PageReply goroutines_page(const PageRequest& request) {
  Nanos least = 0;
  if (!read_time(request.parameter("min_wait", "0"), least)) {
    return refusal("400 Bad Request", "min_wait is a time, such as 90, 2m or 500ms");
  }
  Snapshot snapshot = take_snapshot(Ask::kThreads);
  std::size_t count = 0;
  for (Snapshot::Group& group : snapshot.groups) {
    if (least > 0) {
      std::erase_if(group.members,
                    [&](const auto& member) { return wait_of(snapshot, member) < least; });
    }
    count += group.members.size();
  }
  std::erase_if(snapshot.groups, [](const auto& group) { return group.members.empty(); });
  if (request.parameter("group", "1") == "0") {
    std::vector<Snapshot::Group> single;
    for (const Snapshot::Group& group : snapshot.groups) {
      for (const Snapshot::Member& member : group.members) {
        if (single.size() == kMostGroups + 1) {
          break;  // which write_snapshot tells
        }
        single.push_back(group);
        single.back().members.assign(1, member);
      }
    }
    std::sort(single.begin(), single.end(), [](const auto& a, const auto& b) {
      return a.members.front().id < b.members.front().id;
    });
    snapshot.groups = std::move(single);
  }
  Page page{std::to_string(count) + (count == 1 ? " goroutine" : " goroutines"), {}};
  if (least > 0) {
    page.title += " that wait for " + std::to_string(static_cast<double>(least) / 1e9);
    page.title.erase(page.title.size() - 3);  // milliseconds
    page.title += " s or longer";
  }
  write_snapshot(
      snapshot,
      [](void* to, std::string_view text) {
        static_cast<Page*>(to)->paragraphs.emplace_back(text);
      },
      &page, kMostGroups);
  return reply_of(request, page,
                  "<p><a href=\"/debug/goroutines?group=0\">each for itself</a>, "
                  "<a href=\"/debug/goroutines?min_wait=60\">waiting for a minute</a></p>\n");
}

PageReply locks_page(const PageRequest& request) {
  if (!are_locks_watched()) {
    return reply_of(request, {"Locks are not watched",
                              {"Set HAMGAM_DEBUG=locks in the environment of the program, or call "
                               "observe::watch_locks() in it.\n"}});
  }
  std::string_view const form = request.parameter("format", "");
  if (form == "dot") {
    return lock_orders_page();
  }
  if (!form.empty()) {
    return refusal("400 Bad Request", "the only format is dot");
  }
  Snapshot const snapshot = take_snapshot(Ask::kNobody);
  Symbols symbols;
  std::unordered_map<std::uint64_t, std::pair<const Snapshot::Group*, Nanos>> goroutines;
  for (const Snapshot::Group& group : snapshot.groups) {
    for (const Snapshot::Member& member : group.members) {
      goroutines[member.id] = {&group, wait_of(snapshot, member)};
    }
  }
  auto const who = [&](std::uint64_t goroutine, int thread) {
    if (goroutine == 0) {
      return "thread " + std::to_string(thread);
    }
    std::string text = "goroutine " + std::to_string(goroutine);
    auto const found = goroutines.find(goroutine);
    if (found != goroutines.end() && !found->second.first->name.empty()) {
      text += " \"" + printable(found->second.first->name) + "\"";
    }
    return text;
  };
  std::vector<LockInfo> const locks = locks_in_use();
  Page page{std::to_string(locks.size()) + (locks.size() == 1 ? " lock" : " locks") +
                " that somebody has or waits for; " + std::to_string(lock_reports_told()) +
                " reports so far",
            {}};
  for (const LockInfo& lock : locks) {
    std::string text = "lock " + name_of(lock.lock) + "\n";
    for (const LockInfo::Holder& holder : lock.holders) {
      text += "  " + who(holder.goroutine, holder.thread) +
              (holder.shared ? " has it to read, since\n" : " has it, since\n");
      auto const* const end =
          std::find(std::begin(holder.taken.frames), std::end(holder.taken.frames), nullptr);
      if (std::vector<const void*> const frames(std::begin(holder.taken.frames), end);
          !frames.empty()) {
        text += text_of(place_of(frames, symbols));
      }
    }
    for (const LockInfo::Waiter& waiter : lock.waiters) {
      text += "  " + who(waiter.goroutine, waiter.thread) + " waits for it";
      auto const found = goroutines.find(waiter.goroutine);
      if (waiter.goroutine != 0 && found != goroutines.end()) {
        const Snapshot::Group& group = *found->second.first;
        text += ", for " + std::to_string(found->second.second / kSecond) + " s, at\n";
        if (!group.frames.empty()) {
          text += text_of(place_of(group.frames, symbols));
        }
      } else {
        text += "\n";
      }
    }
    page.paragraphs.push_back(std::move(text));
  }
  return reply_of(request, page,
                  "<p><a href=\"/debug/locks?format=dot\">the orders in which they were taken</a>, "
                  "for Graphviz</p>\n");
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
