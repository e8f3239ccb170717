// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "wait/sleeper.h"

#include <utility>

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr unsigned kOneThread = ~0U;  // Interrupt::ran_on_: by one that cannot change threads

void end_sleep(Sleeper& sleeper) noexcept {
  if (Goroutine* g = sleeper.goroutine) {
    ready(g);
    return;
  }
  sleeper.thread->wake();  // the record outlives the sleeper, who may be gone before this returns
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
  SleepingWorker const sleeps;
  if (!sleeper.thread->sleep(sleeper.deadline) && !sleeper.take_out(sleeper, Wake::kTimedOut)) {
    (void)sleeper.thread->sleep(kForever);  // a waker got in first and is about to set the word
  }
  return sleeper.outcome;
}

void sleep_for_ever(const char* reason) noexcept {
  Sleeper me(nullptr);
  for (;;) {
    if (me.goroutine != nullptr) {
      park(nullptr, nullptr, reason);
    } else {
      me.thread->begin_sleep();
      (void)sleep_thread(me);
    }
  }
}

Interrupt::Interrupt(Sleeper& sleeper, Nanos deadline) : sleeper_(sleeper) {
  if (deadline == kForever) {
    return;
  }
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

Interrupt::Interrupt(Sleeper& sleeper, std::stop_token token) noexcept
    : sleeper_(sleeper), token_(std::move(token)) {
  stop_.emplace(token_, Stop{this});
}

Interrupt::~Interrupt() {
  if (alarm_.heap != nullptr) {
    remove_timer(alarm_);
  }
  if (stop_.has_value() && HAMGAM_UNLIKELY(token_.stop_requested()) &&
      callback_may_be_elsewhere()) {
    remove_callback_elsewhere();
  }
}

bool Interrupt::callback_may_be_elsewhere() const noexcept {
  if (worker_index() == 0) {
    return false;  // a plain thread
  }
  unsigned const ran_on = ran_on_.load(kRelaxed);  // relaxed: see the header
  return ran_on != kOneThread && ran_on != worker_index();
}

void Interrupt::remove_callback_elsewhere() noexcept {
  struct Removal : Chore {
    explicit Removal(std::optional<StopCallback>& of) noexcept : callback(of) {
      run = [](Chore& chore) noexcept {
        auto& self = static_cast<Removal&>(chore);
        self.callback.reset();
        wake(self.sleeper);
      };
    }
    std::optional<StopCallback>& callback;
    Sleeper sleeper{nullptr};
  } removal(stop_);
  if (removal.sleeper.goroutine != nullptr) {
    park([](void* chore) noexcept { add_chore(*static_cast<Removal*>(chore)); }, &removal,
         "stop callback");
  } else {
    add_chore(removal);
    (void)sleep_thread(removal.sleeper);
  }
}

void Interrupt::Stop::operator()() const noexcept {
  // Before the sleeper can go on. relaxed: whoever is on the same thread later sees it; for others
  // it decides between two ways that are both right
  self->ran_on_.store(goroutine_to_park() != nullptr ? worker_index() : kOneThread, kRelaxed);
  interrupt(self->sleeper_, Wake::kStopped);
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
