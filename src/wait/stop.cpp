// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "wait/stop.h"

#include <cstring>
#include <utility>

#include "sched/park.h"
#include "wait/sleeper.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr unsigned kOneThread = ~0U;  // Interrupt::ran_on_: by one that cannot change threads

}  // namespace

bool stop_requested(const std::stop_token& token) noexcept { return token.stop_requested(); }

// NOLINTNEXTLINE(performance-unnecessary-value-param): the callers' copy may be gone meanwhile
void request_stop(std::stop_source source) noexcept {
  Pin const pin;  // the callbacks may wait, and their runner is known by its thread
  source.request_stop();
#if HAMGAM_TSAN_USER
  // ~stop_callback on this very thread, by another goroutine, takes the callbacks for its caller's
  // and synchronises with the state alone, at whose head the lock is. They are over.
  const char* state = nullptr;
  static_assert(sizeof source == sizeof state);
  std::memcpy(&state, static_cast<const void*>(&source), sizeof state);
  for (std::size_t i = 0; state != nullptr && i < 2 * sizeof(int); i += sizeof(int)) {
    tsan_release(state + i);
  }
#endif
}

void drop_stop(std::stop_source source) noexcept {
  std::stop_source const dropped(std::move(source));  // here and not by the caller
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
#if defined(HAMGAM_TSAN)
  // ~stop_callback does not wait for a callback that was called on this very thread, by another
  // goroutine of this worker, or on a thread that has ended and whose number this one has now: it
  // is over, and the library has said so in one of these words.
  if (stop_.has_value()) {
    for (std::size_t i = 0; i < sizeof *stop_; i += sizeof(int)) {
      tsan_acquire(reinterpret_cast<const char*>(&*stop_) + i);
    }
  }
#endif
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
        tsan_acquire(&chore);
        auto& self = static_cast<Removal&>(chore);
        self.callback.reset();
        tsan_release(&chore);
        wake(self.sleeper);
      };
    }
    std::optional<StopCallback>& callback;
    Sleeper sleeper{nullptr};
  } removal(stop_);
  tsan_release(static_cast<Chore*>(&removal));
  if (removal.sleeper.goroutine != nullptr) {
    park([](void* chore) noexcept { add_chore(*static_cast<Removal*>(chore)); }, &removal,
         "stop callback");
  } else {
    add_chore(removal);
    (void)sleep_thread(removal.sleeper, "stop callback");
  }
  tsan_acquire(static_cast<Chore*>(&removal));
}

void Interrupt::Stop::operator()() const noexcept {
  // Before the sleeper can go on. relaxed: whoever is on the same thread later sees it; for others
  // it decides between two ways that are both right
  self->ran_on_.store(goroutine_to_park() != nullptr ? worker_index() : kOneThread, kRelaxed);
  interrupt(self->sleeper_, Wake::kStopped);
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
