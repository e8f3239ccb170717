// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/mutex.h"

#include "base/fatal.h"
#include "hamgam/detail/rseq.h"
#include "os/membarrier.h"
#include "os/thread.h"
#include "sched/exit.h"
#include "sync/lock_watch.h"
#include "sync/mutex_queue.h"
#include "wait/interruptible.h"
#include "wait/parking_lot.h"

// The slow paths of Mutex. Its states stand in the header.
//
// Rejected: hand-off on every unlock (two switches per critical section: a hundred times slower
// once threads take part), Go's starvation mode (strict hand-off until the queue is empty,
// golang/go#33747). Here the lock is given to whoever comes first, and once handed to one that has
// waited for 1 ms.
//
// The unlock without a locked instruction. Where the kernel offers restartable sequences, an unlock
// that finds the state to be kLocked alone stores 0 with a plain store: one read-modify-write a
// pair instead of two. That store is blind to a kParked that was set after the check, so before a
// locker sleeps it makes sure that no unlocker is between the two: it marks the word with kProbe,
// calls rseq_barrier(), and looks again. The barrier restarts all sequences and drains all store
// buffers. If the mark is gone, a plain store wiped it: the lock was released, start again. If it
// is there, no store was under way, and every later unlock sees that the state is not kLocked
// alone. kHeavy then keeps it so for a while, because the barrier costs microseconds: the unlocks
// of the heavy mode are read-modify-writes that count themselves, and the kLightAfter-th with
// nobody asleep returns to the light mode. The bucket's lock, held from the mark to the second
// look, lets only one locker probe at a time: with two, one could take the other's mark for its own
// (found by the model, test/model/mutex_unlock.py).
//
// Why no wake-up is lost. A locker sleeps only after it has, under the bucket's lock, seen kLocked
// and kHeavy and set kParked in one CAS; so the unlock that ends that critical section sees
// kParked, takes the bucket's lock and finds the locker queued. It wakes nobody only if kAwake is
// set; then a waiter is awake that will either take the lock, and its own unlock sees kParked, or
// sleep again, which it does only by a CAS that clears kAwake while kLocked is set: that holder's
// unlock then wakes.
//
// When the process exits, whoever is handed the lock, or is awake, may be a goroutine that was
// stopped before it ran. So from then on an unlock wakes all and hands over to nobody: threads that
// wait try again. The locks inside of other things (InnerMutex) are never handed over, as no
// goroutine stops with one: one that has waited long is woken and runs next.

namespace hamgam::inline HAMGAM_ABI {

using namespace detail;

namespace {

constexpr int kSpinRounds = 4;
constexpr int kSpinPauses = 30;
constexpr Nanos kFairAfter = kMillisecond;
constexpr std::uintptr_t kHandedOver = MutexQueue::kHandedOver;
constexpr std::uint32_t kLocked = 1;
constexpr std::uint32_t kParked = 2;
constexpr std::uint32_t kAwake = 4;
constexpr std::uint32_t kHeavy = 8;
constexpr std::uint32_t kProbe = 16;
constexpr std::uint32_t kMarked = 32;
constexpr std::uint32_t kFlags = 0xFF;
constexpr std::uint32_t kIdleOne = 1U << 8;
constexpr std::uint32_t kLightAfter = 8192 * kIdleOne;  // some ten times the cost of a barrier
constexpr const char* kReason = "sync.Mutex.Lock";

// Under the bucket's lock: puts a locked word into the heavy mode, and `state` is what it is then.
// False: it is not locked any more, or not yet heavy; start again.
bool make_heavy(atomic<std::uint32_t>& word, std::uint32_t& state) noexcept {
  // relaxed throughout: the barrier orders it
  if (kRestartable && rseq_barrier_available()) {
    if (!word.compare_exchange_strong(state, state | kProbe, kRelaxed, kRelaxed)) {
      return false;
    }
    if (!rseq_barrier()) {
      nap_thread();  // the kernel took it away: poll
      return false;
    }
    state = word.load(kRelaxed);
    // A mark that outlived the barrier is ours to take away, whatever else changes meanwhile: left
    // behind it would keep all unlocks slow until somebody sleeps.
    do {
      if ((state & kProbe) == 0) {
        return false;
      }
    } while (!word.compare_exchange_weak(state, (state & ~kProbe) | kHeavy, kRelaxed, kRelaxed));
    state = (state & ~kProbe) | kHeavy;
  } else {
    if (!word.compare_exchange_strong(state, state | kHeavy, kRelaxed, kRelaxed)) {
      return false;
    }
    state |= kHeavy;
  }
  return (state & kLocked) != 0;
}

// True once the lock is ours, false if `me` was interrupted first. `awake`: kAwake if it stands for
// us.
bool acquire(atomic<std::uint32_t>& word, Waiter& me, std::uint32_t awake = 0) noexcept {
  int spins = 0;
  std::uint32_t state = word.load(kRelaxed);  // relaxed: the CAS checks it
  for (;;) {
    if ((state & kLocked) == 0) {
      // [mutex.5] acquire, pairs with [mutex.2], [mutex.6], [mutex.7], [mutex.8]
      if (word.compare_exchange_weak(state, (state & ~awake) | kLocked, kAcquire, kRelaxed)) {
        return true;
      }
      continue;
    }
    if (spins < kSpinRounds && worth_spinning()) {
      ++spins;
      for (int i = 0; i < kSpinPauses; ++i) {
        spin_pause();
      }
      state = word.load(kRelaxed);  // relaxed: the CAS checks it
      continue;
    }
    Bucket& bucket = bucket_of(&word);
    bucket.lock();
    if ((state & kHeavy) == 0 && !make_heavy(word, state)) {
      bucket.unlock();
      state = word.load(kRelaxed);  // relaxed: the CAS checks it
      continue;
    }
    // relaxed: the bucket's lock orders it with the unlocker's look at the queue
    if (!word.compare_exchange_strong(state, ((state & kFlags) & ~awake) | kParked, kRelaxed,
                                      kRelaxed)) {
      bucket.unlock();
      continue;
    }
    awake = 0;
    if (me.since == 0) {
      me.since = now();
      bucket.push_back(me);
    } else {
      bucket.push_front(me);  // it has waited before
    }
    me.token = 0;
    if (bucket.sleep(me, kReason) != Wake::kWoken) {
      return false;
    }
    if (me.token == kHandedOver) {
      return true;
    }
    awake = kAwake;
    spins = 0;
    state = word.load(kRelaxed);  // relaxed: the CAS checks it
  }
}

// While locks are watched.
bool is_marked(const atomic<std::uint32_t>& word) noexcept {
  return (word.load(kRelaxed) & kMarked) != 0;  // relaxed: ours, or a hint
}

// `set`: only by who has the lock.
bool mark(const void* lock, bool set) noexcept {
  auto* const word = static_cast<atomic<std::uint32_t>*>(const_cast<void*>(lock));
  // relaxed: we have the lock, and no other who has it sets it; or fenced
  return ((set ? word->fetch_or(kMarked, kRelaxed) : word->load(kRelaxed)) & kMarked) != 0;
}

void note_ours(const atomic<std::uint32_t>& word, bool waits, const LockSite& site) noexcept {
  note_lock(&word, LockUse::kAlone, is_marked(word), &mark, waits, site);
}

template <class Limit>
bool lock_within(Mutex& mutex, atomic<std::uint32_t>& word, Limit limit, const LockSite& site) {
  return interruptible(&word, std::move(limit), [&](Waiter& me) {
    bool const locked = acquire(word, me);
    if (locked) {
      tsan_acquire(&mutex);
      if (watching_locks()) {
        note_ours(word, false, site);
      }
    }
    return locked;
  });
}

// What an unlock leaves of the state if nobody is to be woken.
std::uint32_t released(std::uint32_t state) noexcept {
  if ((state & kFlags) != (kLocked | kHeavy)) {
    return state & ~kLocked;
  }
  return state >= kLightAfter ? 0 : (state & ~kLocked) + kIdleOne;
}

}  // namespace

HAMGAM_NOINLINE void Mutex::lock_slow() noexcept {
  if (watching_locks()) {
    if (!try_lock_unwatched()) {
      LockWait waits;
      waits.begin(&state_, LockUse::kAlone, &mark);
      Waiter me(&state_);
      acquire(state_, me);
    }
    note_ours(state_, true, HAMGAM_LOCK_SITE());
    return;
  }
  Waiter me(&state_);
  acquire(state_, me);
}

HAMGAM_NOINLINE bool Mutex::try_lock_watched() noexcept {
  bool const locked = try_lock_unwatched();
  if (locked) {
    note_ours(state_, false, HAMGAM_LOCK_SITE());
  }
  return locked;
}

void Mutex::lock_inner() noexcept {
  Waiter me(&state_);
  me.takes_itself = true;
  acquire(state_, me);
}

bool Mutex::lock_deadline(std::int64_t deadline) {
  return lock_within(*this, state_, deadline, HAMGAM_LOCK_SITE_IF_WATCHED());
}

bool Mutex::lock_stoppable(std::stop_token token) {
  return lock_within(*this, state_, std::move(token), HAMGAM_LOCK_SITE_IF_WATCHED());
}

void Mutex::unlock_slow() noexcept {
  std::uint32_t state = state_.load(kRelaxed);  // relaxed: the CAS checks it
  if ((state & (kMarked | kLocked)) == (kMarked | kLocked)) {
    note_unlock(&state_, LockUse::kAlone, 1);
  }
  for (;;) {
    if ((state & kLocked) == 0) {
      fatal("sync: unlock of unlocked mutex");
    }
    if ((state & kParked) != 0 && ((state & kAwake) == 0 || exiting())) {
      break;
    }
    // [mutex.6] release, pairs with [mutex.5] and [mutex.1]
    if (state_.compare_exchange_weak(state, released(state), kRelease, kRelaxed)) {
      return;
    }
  }
  // Somebody sleeps and nobody is awake. From here on only we change kLocked, and kParked changes
  // under the bucket's lock; kAwake is set by unlockers only.
  Bucket& bucket = bucket_of(&state_);
  bucket.lock();
  Nanos const delay = profiling_waits() ? bucket.take_delay(&state_) : 0;
  Waiter* all = exiting() ? bucket.pop_all(&state_) : nullptr;
  Waiter* waiter = bucket.pop(&state_);
  std::uint32_t const stays =
      (bucket.first(&state_) != nullptr ? kParked : 0) | kHeavy | (state & kMarked);
  if (waiter == nullptr) {
    state_.store(stays, kRelease);  // [mutex.7] release, pairs with [mutex.5] and [mutex.1]
    bucket.unlock();
    wake_all(all);
    return;
  }
  bool const waited_long = now() - waiter->since >= kFairAfter;
  bool const hand_over = waited_long && !waiter->takes_itself;
  if (hand_over) {
    waiter->token = kHandedOver;
    state_.store(kLocked | stays,
                 kRelaxed);  // relaxed: the wake orders us with the new holder
  } else {
    state_.store(kAwake | stays,
                 kRelease);  // [mutex.8] release, pairs with [mutex.5] and [mutex.1]
  }
  bucket.unlock();
  wake(*waiter);
  if (HAMGAM_UNLIKELY(delay != 0)) {
    note_delay(delay);
  }
  if (waited_long && current_goroutine() != nullptr) {
    yield_goroutine();  // it is the next one here: it runs while the lock is hot
  }
}

bool detail::MutexQueue::unlock_alone(Mutex& mutex) noexcept {
  if (is_marked(mutex.state_)) {
    return false;
  }
  tsan_release(&mutex);
  if (rseq_offset != 0 && store_if_equal(mutex.state_, kLocked, 0U)) {
    return true;
  }
  std::uint32_t state = mutex.state_.load(kRelaxed);  // relaxed: the CAS checks it
  while ((state & kLocked) != 0 && ((state & kParked) == 0 || (state & kAwake) != 0)) {
    // [mutex.9] release, pairs with [mutex.5], [mutex.1], [mutex.3]
    if (mutex.state_.compare_exchange_weak(state, released(state), kRelease, kRelaxed)) {
      return true;
    }
  }
  return false;
}

bool detail::MutexQueue::enqueue(Mutex& mutex, Waiter& waiter, Bucket& locked) noexcept {
  if (watching_locks()) {
    return false;  // it says itself what it waits for
  }
  atomic<std::uint32_t>& word = mutex.state_;
  Bucket& bucket = bucket_of(&word);
  // Not in the order of addresses, hence a try.
  if (&bucket != &locked && !bucket.try_lock()) {
    return false;
  }
  bool queued = false;
  std::uint32_t state = word.load(kRelaxed);  // relaxed: the CAS checks it
  while (!queued && (state & kLocked) != 0 && (state & kHeavy) != 0) {
    // relaxed: the bucket's lock orders it with the unlocker's look at the queue
    queued = word.compare_exchange_weak(state, (state & kFlags) | kParked, kRelaxed, kRelaxed);
  }
  if (queued) {
    waiter.token = kRequeued;
    waiter.since = now();
    waiter.address.store(&word, kRelaxed);  // relaxed: under the locks of both buckets
    bucket.push_back(waiter);
  }
  if (&bucket != &locked) {
    bucket.unlock();
  }
  return queued;
}

void detail::MutexQueue::lock(Mutex& mutex, Waiter& waiter, bool woken) noexcept {
  std::uintptr_t const how = waiter.token;
  if (how != kHandedOver) {
    // Interrupted once more, it must have the lock all the same.
    if (how != kRequeued || !woken || !acquire(mutex.state_, waiter, kAwake)) {
      mutex.lock();
      return;
    }
  }
  if (watching_locks()) {
    note_ours(mutex.state_, true, LockSite());
  }
  tsan_acquire(&mutex);
}

}  // namespace hamgam::inline HAMGAM_ABI
