// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sched/report_queue.h"

#include <cstdio>

#include "os/signals.h"
#include "os/thread.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr Nanos kLastWords = 2000 * kMillisecond;

// "hamgam: mutexes: 3 not told of: ...": also where there is no memory.
struct Line {
  Line(const char* what, std::uint64_t number, const char* why) noexcept {
    std::snprintf(text, sizeof text, "hamgam: %s: %llu not told of: %s\n", what,
                  static_cast<unsigned long long>(number), why);
  }
  char text[160];
};

}  // namespace

void ReportQueueBase::note_told(std::uint64_t how_many) noexcept {
  done_.fetch_add(how_many, kRelease);  // [report.5] release, pairs with [report.6]: what was told
}

bool ReportQueueBase::tell_of_missed() noexcept {
  std::uint64_t missed = 0;
  {
    std::lock_guard const guard(lock_);
    missed = std::exchange(missed_, 0);
  }
  if (missed == 0) {
    return false;
  }
  write_error(Line(what_, missed, "too many at once, or no memory").text);
  note_told(missed);
  return true;
}

void ReportQueueBase::miss() noexcept {
  std::lock_guard const guard(lock_);
  ++missed_;
}

void ReportQueueBase::forget_all() noexcept {
  ::new (&lock_) SpinLock;  // its holder may be a thread that did not come along
  first_ = 0;
  count_ = 0;
  missed_ = 0;
  // relaxed throughout: there is one thread
  done_.store(asked_.load(kRelaxed), kRelaxed);
  thread_.forget();
}

void ReportQueueBase::await(Nanos deadline) noexcept {
  std::uint64_t const all = asked_.load(kRelaxed);  // relaxed: those that the caller knows of
  auto const is_told = [this, all] {
    return done_.load(kAcquire) >= all;  // [report.6] acquire, pairs with [report.5]
  };
  while (has_thread() && !is_told() && now() < deadline) {
    nap_thread();
  }
}

void ReportQueueBase::tell_at_exit() noexcept {
  auto const untold = [this] {
    // relaxed throughout: numbers
    std::uint64_t const done = done_.load(kRelaxed);
    return asked_.load(kRelaxed) - done;
  };
  if (untold() == 0) {
    return;
  }
  if (ask()) {
    await(now() + kLastWords);
  } else {
    Line const line(what_, untold(), "the system refuses a thread for it");
    (void)write_error_within(line.text, kLastWords);
  }
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
