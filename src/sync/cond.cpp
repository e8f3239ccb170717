// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/cond.h"

#include "sync/mutex_queue.h"
#include "wait/parking_lot.h"

// A waiter queues itself while it still holds the user's lock, then unlocks that and goes to sleep.
// Where that takes more than an instruction or two, the bucket can't stay locked meanwhile. Then in
// between it is queued but awake (Waiter::awake): a notify takes it off all the same, so that it
// belongs to this waiter and to no later one, and leaves it to find that out.
//
// Why no wake-up is lost: whoever changes what is waited for does so after the waiter has unlocked,
// so it sees waiting_ set; and waiting_ is cleared only under the bucket's lock, when the queue is
// empty. Why none is stolen: a notify ends the wait of the waiter that it takes off the queue. A
// waiter that is interrupted is off the queue before it was notified, or notified and no longer to
// be interrupted.
//
// Of many that are notified together, those that are plain threads would wake to find their Mutex
// locked and sleep again. Where that is held, and others sleep for it or did so lately, they are
// put into its queue instead; their Waiter::token is the Mutex (mutex_queue.h). Goroutines are
// woken: that is a push to a queue, and when they run the Mutex is free, mostly.
//
// Rejected: tickets (Go's notifyList), because a waiter with a deadline could not give its own
// back; a sequence number to sleep on (a futex), because then a notify belongs to whoever is
// quickest.

namespace hamgam::inline HAMGAM_ABI {

namespace {

using detail::atomic;
using detail::Bucket;
using detail::CondLock;
using detail::Interrupt;
using detail::kRelaxed;
using detail::MutexQueue;
using detail::Waiter;
using detail::Wake;

constexpr const char* kReason = "sync.Cond.Wait";

void unlock(const CondLock& lock) noexcept {
  if (lock.mutex != nullptr) {
    lock.mutex->unlock();
  } else {
    lock.unlock(lock.object);
  }
}

// True if notified, false if interrupted.
bool sleep_unlocked(atomic<std::uint32_t>& waiting, const CondLock& lock, Waiter& me) {
  Bucket& bucket = detail::bucket_of(&waiting);
  me.token = reinterpret_cast<std::uintptr_t>(lock.mutex);
  bucket.lock();
  waiting.store(1, kRelaxed);  // relaxed: the user's lock orders it with the notifier's look
  bucket.push_back(me);
  // From the unlock on the Cond may be gone as soon as we are off its queue. (Interrupted, we leave
  // waiting_ behind; the next notify clears it.)
  Wake outcome;
  if (lock.mutex != nullptr && MutexQueue::unlock_alone(*lock.mutex)) {
    outcome = bucket.sleep(me, kReason);
  } else {
    me.awake = true;
    bucket.unlock();
    unlock(lock);
    bucket.lock();
    me.awake = false;
    if (me.queued) {
      outcome = bucket.sleep(me, kReason);
    } else {
      bucket.unlock();
      outcome = me.outcome;
    }
  }
  bool const woken = outcome == Wake::kWoken;
  bool notified = woken;
  if (lock.mutex != nullptr) {
    // Interrupted on the mutex's queue, it was notified before.
    notified = notified || me.token == MutexQueue::kRequeued;
    MutexQueue::lock(*lock.mutex, me, woken);
  } else {
    lock.lock(lock.object);
  }
  if (notified) {
    detail::tsan_acquire(&me);
  }
  return notified;
}

}  // namespace

void Cond::wait_on(const CondLock& lock) {
  Waiter me(&waiting_);
  sleep_unlocked(waiting_, lock, me);
}

bool Cond::wait_deadline(const CondLock& lock, std::int64_t deadline) {
  Waiter me(&waiting_);
  if (deadline != detail::kForever && deadline <= detail::now()) {
    me.interrupted = Wake::kTimedOut;  // unlocks and locks, does not sleep
    return sleep_unlocked(waiting_, lock, me);
  }
  Interrupt const interrupt(me, deadline);
  return sleep_unlocked(waiting_, lock, me);
}

bool Cond::wait_stoppable(const CondLock& lock, const std::stop_token& token) {
  Waiter me(&waiting_);
  Interrupt const interrupt(me, token);
  return sleep_unlocked(waiting_, lock, me);
}

void Cond::notify(bool all) noexcept {
  Bucket& bucket = detail::bucket_of(&waiting_);
  bucket.lock();
  Waiter* asleep = nullptr;
  Waiter** end = &asleep;
  Waiter* next = all ? bucket.pop_all(&waiting_) : bucket.pop(&waiting_);
  if (all || bucket.first(&waiting_) == nullptr) {
    // relaxed: under the bucket's lock. The last touch: one that is moved to its Mutex, below, may
    // be given that at once, return and destroy the Cond.
    waiting_.store(0, kRelaxed);
  }
  while (next != nullptr) {
    Waiter* const waiter = next;
    next = all ? waiter->next : nullptr;
    detail::tsan_release(waiter);
    if (waiter->awake) {
      waiter->outcome = Wake::kWoken;
    } else if (!all || waiter->goroutine != nullptr || waiter->token == 0 ||
               !MutexQueue::enqueue(*reinterpret_cast<Mutex*>(waiter->token), *waiter, bucket)) {
      *end = waiter;
      end = &waiter->next;
    }
  }
  *end = nullptr;
  bucket.unlock();
  detail::wake_all(asleep);
}

}  // namespace hamgam::inline HAMGAM_ABI
