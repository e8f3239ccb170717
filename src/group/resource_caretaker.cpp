// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <algorithm>
#include <new>
#include <optional>
#include <utility>

#include "group/resource_state.h"
#include "hamgam/go.h"

// The caretaker of a ResourcePool, a goroutine that closes what grows too old and opens what
// min_idle asks for. In between it sleeps until the next resource is due; when there is nothing to
// wait for it ends.
//
// It looks twice before it sleeps, the second time with its alarm set, and queues itself before it
// gives up the lock; so whoever changes something either comes before its look or finds it asleep
// and wakes it.

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr const char* kReason = "ResourcePool caretaker";
constexpr Nanos kRetryOpening = 1000 * kMillisecond;  // for min_idle, when opening failed

}  // namespace

HAMGAM_NOINLINE void ResourceCore::unlock_and_call_caretaker() noexcept {
  State& s = *state_;
  if (s.has_caretaker) {
    Bucket& bucket = bucket_of(&s.looks_again);
    bucket.lock();
    Waiter* const asleep = bucket.pop(&s.looks_again);
    bucket.unlock();
    s.lock.unlock();
    if (asleep != nullptr) {
      wake(*asleep);
    }
    return;
  }
  bool const launches = !s.closed;
  s.has_caretaker = launches;
  s.looks_again = launches ? 0 : kForever;
  s.lock.unlock();
  if (launches) {
    try {
      go([this] { take_care(); });
    } catch (...) {  // no memory for a goroutine: the next occasion tries again
      s.lock.lock();
      end_care();
    }
  }
}

// The lock is held.
void ResourceCore::end_care() noexcept {
  state_->has_caretaker = false;
  state_->looks_again = kForever;
  leave();
}

void ResourceCore::take_care() noexcept {
  State& s = *state_;
  tsan_acquire(this);  // whoever launched this need not know of the constructor
  Nanos alarm = kForever;
  Nanos retry = 0;  // after an attempt to open one that failed
  for (;;) {
    Batch batch;
    Waiter me(&s.looks_again);
    std::optional<Interrupt> interrupt;
    bool may_sleep = true;
    try {
      interrupt.emplace(me, alarm);
    } catch (const std::bad_alloc&) {  // the next occasion tries again
      may_sleep = false;
    }
    s.lock.lock();
    s.looks_again = 0;
    Nanos const time = now();
    Nanos next = s.closed ? kForever : keep_house(batch, time);
    bool const opens = batch.empty() && s.wants_more_idle() && time >= retry;
    if (!batch.empty() || opens) {
      s.open += opens ? 1 : 0;
      s.calls.add(1);
      s.lock.unlock();
      batch.close(*this);
      if (opens) {
        try {
          add_idle(finish(Grant{}));
        } catch (...) {  // whoever acquires next will hear of it
          retry = now() + kRetryOpening;
        }
      }
      s.calls.done();
      continue;
    }
    if (s.wants_more_idle()) {
      next = std::min(next, retry);
    }
    if (next == kForever || !may_sleep) {
      end_care();
      return;
    }
    if (next != alarm) {  // look again with the right one
      alarm = next;
      s.lock.unlock();
      continue;
    }
    s.looks_again = alarm;
    Bucket& bucket = bucket_of(&s.looks_again);
    bucket.lock();
    bucket.push_back(me);
    s.lock.unlock();
    (void)bucket.sleep(me, kReason);
  }
}

// Takes off what is too old. When is the next one due?
Nanos ResourceCore::keep_house(Batch& batch, Nanos time) noexcept {
  State& s = *state_;
  Nanos next = kForever;
  for (ResourceEntry* entry = s.oldest; entry != nullptr;) {
    ResourceEntry& one = *std::exchange(entry, entry->newer);
    bool const too_old = s.expires(one) <= time;
    // Below min_idle others would have to be opened instead.
    bool const may_go = s.idle > s.limits.min_idle;
    if (too_old || (may_go && s.idle_until(one) <= time)) {
      s.take_idle(one);
      batch.add(one);
      ++(too_old ? s.counters.max_lifetime_closed : s.counters.max_idle_time_closed);
    } else {
      next = std::min(next, may_go ? s.due(one) : s.expires(one));
    }
  }
  return next;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
