// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/barrier.h"

#include "hamgam/detail/atomic.h"
#include "hamgam/detail/fatal.h"
#include "wait/parking_lot.h"

// A phase: missing_ falls from expected_ to 0; whoever brings it there runs on_completion_ without
// the lock, in which time nobody can arrive; then, under the lock again, it begins the next phase
// and takes all waiters off, which is its last touch, and wakes them.
//
// Why no wake-up is lost: an arrival that is not the last one is queued under the lock under which
// it counted itself, and the last one comes after it.
//
// One that gives up has left the queue before it gets the lock again, and its arrival still counts
// in between. So there are three ends for it: the phase is not complete: the arrival is taken back.
// The last one has come: it queues itself once more, not to be interrupted. The phase is over: it
// was in it.

namespace hamgam::inline HAMGAM_ABI {

using detail::Bucket;
using detail::Interrupt;
using detail::Waiter;
using detail::Wake;

namespace {

constexpr const char* kReason = "Barrier.arrive_and_wait";

}  // namespace

// Where ThreadSanitizer is told of a phase's edges: two addresses by turns, so that whoever leaves
// one phase does not seem to know who has arrived for the next.
inline const void* Barrier::edge(std::uint64_t phase) const noexcept {
  return phase % 2 == 0 ? static_cast<const void*>(&missing_) : &expected_;
}

Barrier::Barrier(std::ptrdiff_t n, std::function<void()> on_completion)
    : expected_(n), missing_(n), on_completion_(std::move(on_completion)) {
  if (n < 0) {
    detail::throw_panic("barrier: negative count");
  }
}

// Counts an arrival; true if it is the last one, which must call end_phase. The bucket is locked.
bool Barrier::count(Bucket& bucket) {
  if (missing_ == 0) {
    bucket.unlock();
    detail::throw_panic("barrier: more arrivals than expected");
  }
  detail::tsan_release(edge(phase_));
  return --missing_ == 0;
}

// False if it was interrupted.
bool Barrier::arrive(Waiter& me) {
  Bucket& bucket = detail::bucket_of(this);
  bucket.lock();
  if (count(bucket)) {
    end_phase(bucket);
    return true;
  }
  std::uint64_t const mine = phase_;
  bucket.push_back(me);
  if (bucket.sleep(me, kReason) != Wake::kWoken) {
    bucket.lock();
    if (phase_ == mine && missing_ != 0) {
      ++missing_;
      bucket.unlock();
      return false;
    }
    if (phase_ == mine) {
      Waiter again(this);
      bucket.push_back(again);
      (void)bucket.sleep(again, kReason);
    } else {
      bucket.unlock();
    }
  }
  detail::tsan_acquire(edge(mine));
  return true;
}

// The bucket is locked, and not any more on return.
void Barrier::end_phase(Bucket& bucket) {
  const void* const edge_of_phase = edge(phase_);
  bucket.unlock();
  detail::tsan_acquire(edge_of_phase);
  if (on_completion_) {
    [this]() noexcept { on_completion_(); }();
  }
  detail::tsan_release(edge_of_phase);
  bucket.lock();
  ++phase_;
  missing_ = expected_;
  Waiter* const waiters = bucket.pop_all(this);
  bucket.unlock();
  detail::wake_all(waiters);
}

void Barrier::arrive_and_wait() {
  Waiter me(this);
  (void)arrive(me);
}

bool Barrier::arrive_deadline(std::int64_t deadline) {
  Waiter me(this);
  Interrupt const interrupt(me, deadline);
  return arrive(me);
}

bool Barrier::arrive_and_wait(std::stop_token token) {
  Waiter me(this);
  Interrupt const interrupt(me, std::move(token));
  return arrive(me);
}

void Barrier::arrive_and_drop() {
  Bucket& bucket = detail::bucket_of(this);
  bucket.lock();
  bool const last = count(bucket);
  --expected_;
  if (last) {
    end_phase(bucket);
  } else {
    bucket.unlock();
  }
}

}  // namespace hamgam::inline HAMGAM_ABI
