// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "wait/sleeper.h"

#include <utility>

#include "os/futex.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

void end_sleep(Sleeper& sleeper) noexcept {
  if (Goroutine* g = sleeper.goroutine) {
    ready(g);
    return;
  }
  if (sleeper.waits_for_ever) {
    thread_wakes();  // from now on it counts as running, whenever its CPU gets to it
  }
  const atomic<std::uint32_t>& word = sleeper.word;
  sleeper.word.store(1, kRelease);  // [sleeper.1] release, pairs with [sleeper.2]; the last touch
  futex_wake(word, 1);              // by address only
}

void interrupt(Sleeper& sleeper, Wake how) noexcept {
  if (sleeper.take_out(sleeper, how)) {
    end_sleep(sleeper);
  }
}

}  // namespace

void wake(Sleeper& sleeper) noexcept {
  sleeper.outcome = Wake::kWoken;
  end_sleep(sleeper);
}

Wake sleep_thread(Sleeper& sleeper) noexcept {
  if (sleeper.waits_for_ever) {
    thread_sleeps();
  }
  Nanos limit = sleeper.deadline;
  // [sleeper.2] acquire, pairs with [sleeper.1]: what the waker wrote for the sleeper.
  while (sleeper.word.load(kAcquire) == 0) {
    if (!futex_wait(sleeper.word, 0, limit)) {
      if (sleeper.take_out(sleeper, Wake::kTimedOut)) {
        break;
      }
      limit = kForever;  // a waker got in first and is about to set the word
    }
  }
  return sleeper.outcome;
}

void sleep_for_ever(const char* reason) noexcept {
  Sleeper me(nullptr);
  for (;;) {
    if (me.goroutine != nullptr) {
      park(nullptr, nullptr, reason);
    } else {
      (void)sleep_thread(me);
    }
  }
}

Interrupt::Interrupt(Sleeper& sleeper, Nanos deadline) : stop_(std::stop_token{}, Stop{&sleeper}) {
  if (deadline == kForever) {
    return;
  }
  sleeper.waits_for_ever = false;
  if (sleeper.goroutine == nullptr) {
    sleeper.deadline = deadline;
    return;
  }
  alarm_.sleeper = &sleeper;
  alarm_.fire = [](Timer& timer) noexcept {
    interrupt(*static_cast<Alarm&>(timer).sleeper, Wake::kTimedOut);
  };
  add_timer(alarm_, deadline);
}

Interrupt::Interrupt(Sleeper& sleeper, std::stop_token token)
    : stop_((sleeper.waits_for_ever = sleeper.waits_for_ever && !token.stop_possible(),
             std::move(token)),
            Stop{&sleeper}) {}

Interrupt::~Interrupt() {
  if (alarm_.heap != nullptr) {
    remove_timer(alarm_);
  }
}

void Interrupt::Stop::operator()() const noexcept { interrupt(*sleeper, Wake::kStopped); }

}  // namespace hamgam::inline HAMGAM_ABI::detail
