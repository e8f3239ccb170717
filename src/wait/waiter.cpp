// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "wait/waiter.h"

#include <utility>

#include "os/futex.h"
#include "wait/parking_lot.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

// Locks the bucket that the waiter is in, which may change until it is locked.
Bucket& lock_bucket_of(const Waiter& waiter) noexcept {
  for (;;) {
    const void* address = waiter.address.load(kRelaxed);  // relaxed: checked under the lock
    Bucket& bucket = bucket_of(address);
    bucket.lock();
    if (waiter.address.load(kRelaxed) == address) {  // relaxed: under the lock
      return bucket;
    }
    bucket.unlock();
  }
}

// Takes the waiter off its queue, if it is in one, and keeps it from entering another. True if it
// was and slept.
bool interrupt(Waiter& waiter, Wake how) noexcept {
  Bucket& bucket = lock_bucket_of(waiter);
  bool const queued = waiter.queued;
  bool const asleep = queued && !waiter.awake;
  if (waiter.interrupted == Wake::kNone) {
    waiter.interrupted = how;
  }
  if (queued) {
    bucket.remove(waiter);
    waiter.outcome = how;
  }
  bucket.unlock();
  return asleep;
}

void interrupt_and_wake(Waiter& waiter, Wake how) noexcept {
  if (interrupt(waiter, how)) {
    if (waiter.goroutine != nullptr) {
      ready(waiter.goroutine);
    } else {
      waiter.word.store(1, kRelease);  // [waiter.3] release, pairs with [waiter.2]
      futex_wake(waiter.word, 1);
    }
  }
}

}  // namespace

void wake(Waiter& waiter) noexcept {
  waiter.outcome = Wake::kWoken;
  if (Goroutine* g = waiter.goroutine) {
    ready(g);
    return;
  }
  if (waiter.waits_for_ever) {
    thread_wakes();  // from now on it counts as running, whenever its CPU gets to it
  }
  const atomic<std::uint32_t>& word = waiter.word;
  waiter.word.store(1, kRelease);  // [waiter.1] release, pairs with [waiter.2]; the last touch
  futex_wake(word, 1);             // by address only
}

Wake sleep_thread(Waiter& waiter) noexcept {
  if (waiter.waits_for_ever) {
    thread_sleeps();
  }
  Nanos limit = waiter.deadline;
  // [waiter.2] acquire, pairs with [waiter.1] and [waiter.3]: outcome and token.
  while (waiter.word.load(kAcquire) == 0) {
    if (!futex_wait(waiter.word, 0, limit)) {
      if (interrupt(waiter, Wake::kTimedOut)) {
        break;
      }
      limit = kForever;  // a waker got in first and is about to set the word
    }
  }
  return waiter.outcome;
}

void wake_all(Waiter* first) noexcept {
  while (first != nullptr) {
    Waiter* const next = first->next;
    wake(*first);
    first = next;
  }
}

Interrupt::Interrupt(Waiter& waiter, Nanos deadline) : stop_(std::stop_token{}, Stop{&waiter}) {
  if (deadline == kForever) {
    return;
  }
  waiter.waits_for_ever = false;
  if (waiter.goroutine == nullptr) {
    waiter.deadline = deadline;
    return;
  }
  alarm_.waiter = &waiter;
  alarm_.fire = [](Timer& timer) noexcept {
    interrupt_and_wake(*static_cast<Alarm&>(timer).waiter, Wake::kTimedOut);
  };
  add_timer(alarm_, deadline);
}

Interrupt::Interrupt(Waiter& waiter, std::stop_token token)
    : stop_((waiter.waits_for_ever = waiter.waits_for_ever && !token.stop_possible(),
             std::move(token)),
            Stop{&waiter}) {}

Interrupt::~Interrupt() {
  if (alarm_.heap != nullptr) {
    remove_timer(alarm_);
  }
}

void Interrupt::Stop::operator()() const noexcept { interrupt_and_wake(*waiter, Wake::kStopped); }

}  // namespace hamgam::inline HAMGAM_ABI::detail
