// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/semaphore.h"

#include "wait/interruptible.h"
#include "wait/parking_lot.h"

// The slow paths of Semaphore. What the state means stands in the header.
//
// Units are handed over: whoever gives them back takes the waiters they suffice for off the queue,
// so nobody can come in between. A waiter's Waiter::token is the number of units it asks for.
//
// Why no wake-up is lost. While anybody sleeps the state is negative, and then it changes under the
// bucket's lock only; each change there that may let the first waiter go on (units given back, the
// former first one gave up) is followed by serve() under the same lock.
//
// Rejected: units that are up for grabs when a waiter is woken, as with Mutex. Order is what this
// type is for; who only wants to count has Atomic.

namespace hamgam::inline HAMGAM_ABI {

namespace {

using detail::atomic;
using detail::Bucket;
using detail::kAcquire;
using detail::kRelaxed;
using detail::kRelease;
using detail::Waiter;
using detail::Wake;

constexpr const char* kReason = "semaphore acquire";

std::int64_t wanted_by(const Waiter& waiter) noexcept {
  return static_cast<std::int64_t>(waiter.token);
}

// With `free` units to be had: takes off the waiters whose turn it is and sets the state. The
// bucket is locked. Wake what it returns once it no longer is; the object may be gone then.
Waiter* serve(Bucket& bucket, atomic<std::int64_t>& state, std::int64_t free) noexcept {
  Waiter* served = nullptr;
  Waiter** end = &served;
  Waiter* first = bucket.first(&state);
  while (first != nullptr && wanted_by(*first) <= free) {
    free -= wanted_by(*first);
    *end = bucket.pop(&state);
    end = &first->next;
    first = bucket.first(&state);
  }
  *end = nullptr;
  // [sem.4] release, pairs with [sem.2], [sem.3]; the last touch
  state.store(first != nullptr ? ~free : free, kRelease);
  return served;
}

// True once the units are ours, false if `me` was interrupted first.
bool take_in_turn(atomic<std::int64_t>& state, const std::int64_t& size, std::int64_t n,
                  Waiter& me) {
  Bucket& bucket = detail::bucket_of(&state);
  me.token = static_cast<std::uintptr_t>(n);
  if (n > size) {
    // Nobody ever wakes it. It waits elsewhere, so that it holds nobody back.
    Bucket& aside = detail::bucket_of(me.address.load(kRelaxed));  // relaxed: ours
    aside.lock();
    aside.push_back(me);
    return aside.sleep(me, kReason) == Wake::kWoken;
  }
  bucket.lock();
  std::int64_t now = state.load(kRelaxed);  // relaxed: the CAS checks it
  for (;;) {
    // [sem.3] acquire, pairs with [sem.1], [sem.4]
    if (now >= n && state.compare_exchange_weak(now, now - n, kAcquire, kRelaxed)) {
      bucket.unlock();
      return true;
    }
    if (now >= n) {
      continue;
    }
    // relaxed: the bucket's lock orders it with whoever gives back
    if (now < 0 || state.compare_exchange_weak(now, ~now, kRelaxed, kRelaxed)) {
      break;
    }
  }
  bucket.push_back(me);
  if (bucket.sleep(me, kReason) == Wake::kWoken) {
    return true;
  }
  // We gave up, perhaps as the first in the queue.
  bucket.lock();
  now = state.load(kRelaxed);  // relaxed: negative, it changes under the lock only
  Waiter* served = now < 0 ? serve(bucket, state, ~now) : nullptr;
  bucket.unlock();
  detail::wake_all(served);
  return false;
}

// Where those wait that want n; apart, if they wait for ever.
const void* place_of(const atomic<std::int64_t>& state, const std::int64_t& size,
                     std::int64_t n) noexcept {
  return n > size ? static_cast<const void*>(&size) : &state;
}

template <class Limit>
bool acquire_within(detail::UnitEdges& edges, atomic<std::int64_t>& state, const std::int64_t& size,
                    std::int64_t n, Limit limit) {
  return detail::interruptible(place_of(state, size, n), std::move(limit), [&](Waiter& me) {
    bool const acquired = take_in_turn(state, size, n, me);
    if (acquired) {
      edges.taken(n);
    }
    return acquired;
  });
}

}  // namespace

void Semaphore::acquire_slow(std::int64_t n) {
  Waiter me(place_of(state_, size_, n));
  take_in_turn(state_, size_, n, me);
}

bool Semaphore::acquire_deadline(std::int64_t deadline, std::int64_t n) {
  return acquire_within(edges_, state_, size_, n, deadline);
}

bool Semaphore::acquire_stoppable(std::stop_token token, std::int64_t n) {
  return acquire_within(edges_, state_, size_, n, std::move(token));
}

void Semaphore::release_slow(std::int64_t n) {
  if (n < 0) {
    detail::throw_panic("semaphore: negative count");
  }
  Bucket& bucket = detail::bucket_of(&state_);
  bucket.lock();
  std::int64_t now = state_.load(kRelaxed);  // relaxed: the CAS checks it
  for (;;) {
    if (n > size_ - (now < 0 ? ~now : now)) {
      bucket.unlock();
      if (n <= size_) {
        edges_.not_given(n);
      }
      detail::throw_panic("semaphore: released more than held");
    }
    if (now < 0) {
      break;
    }
    // [sem.5] release, pairs with [sem.2], [sem.3]
    if (state_.compare_exchange_weak(now, now + n, kRelease, kRelaxed)) {
      bucket.unlock();
      return;
    }
  }
  Waiter* served = serve(bucket, state_, ~now + n);
  bucket.unlock();
  detail::wake_all(served);
}

}  // namespace hamgam::inline HAMGAM_ABI
