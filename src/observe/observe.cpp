// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/observe.h"

#include <algorithm>
#include <chrono>
#include <ostream>
#include <string_view>
#include <system_error>

#include "observe/infos.h"
#include "sched/dump.h"
#include "sched/held_mutexes.h"
#include "sched/park.h"
#include "sched/snapshot.h"
#include "sched/stuck.h"
#include "sync/lock_watch.h"

namespace hamgam::inline HAMGAM_ABI {

namespace {

using detail::Snapshot;

observe::Frame frame_of(const void* return_address, detail::Symbols& symbols) {
  const void* const address = static_cast<const char*>(return_address) - 1;
  const detail::Symbols::Place& place = symbols.at(address);
  return {address, place.function, place.where};
}

observe::Frames frames_of(const Snapshot::Group& group, detail::Symbols& symbols) {
  auto const [first, end] = shown_frames(group, symbols);
  std::vector<observe::Frame> frames;
  for (std::size_t i = first; i < end; ++i) {
    frames.push_back(frame_of(group.frames[i], symbols));
  }
  return observe::Frames(std::make_shared<const std::vector<observe::Frame>>(std::move(frames)));
}

observe::GoroutineState state_of(const Snapshot::Group& group) noexcept {
  using enum observe::GoroutineState;
  std::string_view const state = group.state;
  return group.waits           ? waiting
         : state == "running"  ? running
         : state == "runnable" ? runnable
         : state == "blocking" ? blocking
                               : waiting;
}

std::uint64_t owner_of(const observe::GoroutineInfo& info) noexcept {
  detail::LockOwner owner;
  bool const alone = detail::find_owners(info.wait_reason, info.waits_on, &owner, 1) == 1;
  return alone && owner.goroutine != info.id ? owner.goroutine : 0;
}

}  // namespace

std::vector<observe::GoroutineInfo> detail::infos_of(const Snapshot& snapshot) {
  Symbols symbols;
  std::vector<observe::GoroutineInfo> all;
  for (const Snapshot::Group& group : snapshot.groups) {
    observe::GoroutineInfo info;
    info.name = group.name;
    info.state = state_of(group);
    info.wait_reason = info.state == observe::GoroutineState::waiting ? group.state : "";
    info.created_at = frame_of(group.created_at, symbols);
    info.frames = frames_of(group, symbols);
    for (const Snapshot::Member& member : group.members) {
      info.id = member.id;
      info.waiting_for = std::chrono::nanoseconds(
          member.since == 0 ? 0 : std::max<Nanos>(0, snapshot.time - member.since));
      info.waits_on = member.object;
      info.held_by = owner_of(info);
      info.created_by = member.created_by;
      all.push_back(info);
    }
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  return all;
}

namespace observe {

std::vector<GoroutineInfo> goroutines() {
  detail::TsanHide const hide;
  return detail::infos_of(detail::take_snapshot(detail::Ask::kThreads));
}

HAMGAM_NOINLINE NoParkScope::NoParkScope() noexcept
    : outer_(detail::forbid_waits(__builtin_return_address(0))) {}

NoParkScope::~NoParkScope() { detail::allow_waits(outer_); }

void watch_locks() { detail::start_watching_locks(); }

std::uint64_t lock_reports() { return detail::count_lock_reports(); }

void watch_mutexes() {
  if (!detail::watch_held_mutexes()) {
#if defined(HAMGAM_TSAN) || defined(HAMGAM_ASAN)
    constexpr auto* kWhy = "observe::watch_mutexes: sanitizers stand before the C library's locks";
#else
    constexpr auto* kWhy = "observe::watch_mutexes: hamgam::mutexes is not linked";
#endif
    throw std::system_error(std::make_error_code(std::errc::operation_not_supported), kWhy);
  }
}

std::uint64_t mutex_reports() noexcept { return detail::count_mutex_reports(); }

void watch_stuck(bool on, std::chrono::nanoseconds limit) {
  constexpr std::chrono::nanoseconds kLeast = std::chrono::milliseconds(1);
  detail::set_stuck_limit(on ? std::max(limit, kLeast).count() : 0);
}

void dump(std::ostream& out) {
  Snapshot const snapshot = detail::take_snapshot(detail::Ask::kThreads);
  bool first = true;
  struct Target {
    std::ostream& out;
    bool& first;
  } target{out, first};
  write_snapshot(
      snapshot,
      [](void* to, std::string_view text) {
        auto& [stream, is_first] = *static_cast<Target*>(to);
        text.remove_prefix(is_first ? 1 : 0);  // the empty line between two
        is_first = false;
        stream << text;
      },
      &target);
}

}  // namespace observe

}  // namespace hamgam::inline HAMGAM_ABI
