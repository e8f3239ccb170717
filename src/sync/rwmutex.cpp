// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/rwmutex.h"

#include <algorithm>

#include "base/fatal.h"
#include "hamgam/detail/rseq.h"
#include "os/membarrier.h"
#include "os/thread.h"
#include "sync/reader_slots.h"
#include "wait/parking_lot.h"

// The slow paths of RWMutex. Its states and invariants stand in the header.
//
// A writer first claims the lock (kWriter), competing with other writers as for a Mutex; from then
// on no reader comes in, and it waits until those inside have left. Its release lets in all readers
// that wait.
//
// Why no reader and writer overlap.
//  Readers that are counted: a reader comes in by a CAS that saw kWriter clear, a writer claims by
//  a CAS. Whichever is second sees the first; the writer goes on only when it has seen nobody
//  inside.
//  Readers in slots, while kBias is set: the reader stores its slot, then loads kBias; the writer
//  clears kBias, then loads the slots. In between the writer has a heavy barrier, which is a full
//  fence at some point of every thread. If that point is before the reader's store, its load comes
//  after and sees kBias clear: it retreats. If it is after the store, the writer sees the slot.
//  (With full fences on both sides this is the textbook argument for store buffering;
//  ThreadSanitizer builds run it so.)
//  While kOpen is set it is the textbook's: the reader has a full fence between its store and its
//  load, the writer one between clearing kOpen and its loads; the later fence sees the other side.
//  A reader that stored its slot without a fence, because it had seen kBias, comes in only if it
//  sees kBias again, never by kOpen: so kOpen's writer need not look out for it. From kBias to
//  kOpen leads only a writer's claim, heavy barrier and unlock; from kOpen to kBias a reader's CAS,
//  which saw that no writer had claimed; the next one pays for the barrier.
//  A reader that saw slots open came after the last writer, by [rw.2], [rw.7] and [rw.9], also if
//  another reader opened them.
//  Nobody is missed while the writer counts: kWriter is set and the fence is past, so nobody new
//  comes in; each reader that leaves empties one slot or lowers the count by one; a slot that is
//  filled now is about to be emptied. So the sum of all slots and the count, read one after the
//  other, is never less than the number of readers inside at the end: if it is 0, nobody is. A slot
//  is written by its own thread only, and no goroutine is suspended between finding a slot and
//  filling or emptying it, so plain loads and stores do. (A writer sweeps slots that were left
//  over, but nobody else has business with those.)
//
// Which way readers come in. Counted, each pays for two read-modify-writes of a line that all
// share. By kOpen, a fence of their own; a writer looks at every thread's slots. By kBias, not even
// that; a writer pays for a heavy barrier, which stops all threads for a moment. So writers choose
// kOpen once each look is paid for by kReadsForSlots reads, and count again at every kRecount-th
// claim; readers choose kBias after kManyReads or kManyFenced reads without a writer, unless a
// barrier was paid for lately. Of 1 % writes that makes 3.1 ns each with one worker, counted it
// is 5.2.
//
// Why no wake-up is lost. Writers and readers sleep only after a CAS under the bucket's lock that
// saw kWriter and set their bit; so the release sees the bit and looks at the queues under the same
// lock. The writer that waits for readers sleeps after it has, under the bucket's lock, seen
// somebody inside. A counted reader leaves under that lock while kWriter is set. One in a slot
// empties it, then loads `watched`; the writer raises `watched`, then (heavy barrier between, in
// any mode) loads the slot: it sees the slot empty, or the reader sees `watched` and takes the
// bucket's lock to wake it.
//
// The unlock of a writer without a locked instruction is Mutex's, with its argument (mutex.cpp):
// whoever is to sleep first makes sure, by make_heavy(), that no such unlock is under way.
//
// Rejected: a slot that any thread may empty (it would take a read-modify-write on every way out);
// a table of slots that all threads share (BRAVO: hashed places collide, and threads share its
// lines); writers that hold back readers only once they have slept (readers could starve them); a
// token from lock_shared to unlock_shared (no std::shared_lock).

namespace hamgam::inline HAMGAM_ABI {

using detail::Bucket;
using detail::Interrupt;
using detail::kAcquire;
using detail::kRelaxed;
using detail::kRelease;
using detail::Nanos;
using detail::ReaderRow;
using detail::Waiter;
using detail::Wake;

class RWMutex::Slow {
 public:
  explicit Slow(RWMutex& mutex) noexcept
      : mutex_(mutex), state_(mutex.state_), bucket_(detail::bucket_of(&mutex)) {}

  // Where writers, readers, and the writer that waits for readers sleep: all in one bucket.
  static const void* writers(const RWMutex& mutex) noexcept { return &mutex; }
  static const void* readers(const RWMutex& mutex) noexcept { return place(&mutex, 1); }
  static const void* watcher(const void* mutex) noexcept { return place(mutex, 2); }

  // True once the lock is ours, false if `me` was interrupted first.
  bool lock(Waiter& me) noexcept;

  // Without waiting: claims. False: another writer has. `former`: the state before.
  static bool claim(RWMutex& mutex, std::int64_t& former) noexcept;
  // After claiming: true if nobody is inside.
  bool enter_claimed(std::int64_t former) noexcept;
  bool wait_for_readers(Waiter& me, std::int64_t former) noexcept;

  bool try_lock() noexcept;
  bool lock_shared(Waiter* me) noexcept;  // null: does not wait
  void unlock_shared() noexcept;

  // Gives kWriter up. `staying`: how many readers we leave inside ourselves.
  void release(std::int64_t staying) noexcept;

  // Fatal if nobody has the lock to write.
  void require_writer(const char* otherwise) const noexcept;

  static std::int64_t unlocked(std::int64_t state) noexcept;
  static std::int64_t opened(std::int64_t state) noexcept {
    return (state & kFenced) != 0 ? state | kOpen | kSlots : state;
  }

 private:
  static const void* place(const void* mutex, int offset) noexcept {
    return static_cast<const char*>(mutex) + offset;
  }
  static std::int64_t count(std::int64_t state) noexcept { return state >> 34; }

  static std::int64_t claimed(std::int64_t state) noexcept;
  bool spin(int& rounds) const noexcept;
  bool make_heavy(std::int64_t& state) noexcept;
  void revoke() noexcept;
  std::int64_t inside(const ReaderRow* rows) const noexcept;
  void close_slots(ReaderRow* rows) noexcept;
  bool enter_any_slot() noexcept;
  void consider_slots() noexcept;
  void require_reader() const noexcept;

  RWMutex& mutex_;
  detail::atomic<std::int64_t>& state_;
  Bucket& bucket_;
};

namespace {

constexpr int kSpinRounds = 4;
constexpr int kSpinPauses = 30;
constexpr Nanos kFairAfter = detail::kMillisecond;
constexpr std::uintptr_t kHandedOver = 1;   // kWriter is the waiter's
constexpr std::int64_t kLightAfter = 8192;  // as in Mutex: unlocks with nobody asleep
constexpr std::int64_t kReadsForSlots = 4;  // between two writers, for each row they look at
constexpr std::int64_t kRecount = 16;       // writers
constexpr bool kRestartable = HAMGAM_RSEQ != 0;
constexpr const char* kWriteReason = "sync.RWMutex.Lock";
constexpr const char* kReadReason = "sync.RWMutex.RLock";

}  // namespace

// A moment's pause, while that may help.
bool RWMutex::Slow::spin(int& rounds) const noexcept {
  if (rounds >= kSpinRounds || !detail::worth_spinning()) {
    return false;
  }
  ++rounds;
  for (int i = 0; i < kSpinPauses; ++i) {
    detail::spin_pause();
  }
  return true;
}

// Under the bucket's lock: from now on no unlock of this lock is a plain store. False: start again.
bool RWMutex::Slow::make_heavy(std::int64_t& state) noexcept {
  if (!kRestartable || !detail::rseq_barrier_available() || (state & kHeavy) != 0) {
    return true;
  }
  // relaxed throughout: the barrier orders it
  if (!state_.compare_exchange_strong(state, state | kProbe, kRelaxed, kRelaxed)) {
    return false;
  }
  bool const passed = detail::rseq_barrier();
  if (!passed) {
    detail::nap_thread();  // the kernel took it away: poll
  }
  state = state_.load(kRelaxed);
  while ((state & kProbe) != 0) {  // else a plain store wiped it: the lock was released
    std::int64_t const next = (state & ~kProbe) | (passed ? kHeavy : 0);
    if (state_.compare_exchange_weak(state, next, kRelaxed, kRelaxed)) {
      state = next;
      return passed && (state & kWriter) != 0;
    }
  }
  return false;
}

// The state once a writer has claimed the lock; it says how readers come in when it has left.
std::int64_t RWMutex::Slow::claimed(std::int64_t state) noexcept {
  std::int64_t const next = (state & ~(kBias | kOpen | kReadsMask)) | kWriter;
  if ((state & kFenced) != 0) {
    // Every now and then readers are counted once more.
    std::int64_t const writers = (state + kRead) & (kManyReads - kRead);
    return writers % (kRecount * kRead) != 0 ? next | writers : next & ~kFenced;
  }
  std::int64_t const enough =
      std::max(kReadsForSlots * detail::reader_row_count() * kRead, kFewReadsMask + kRead);
  bool const many = (state & kBias) != 0 || (state & kReadsMask) >= enough;
  return many && detail::reader_slots_enabled() ? next | kFenced : next;
}

// What a writer's unlock leaves of the state if nobody is to be woken.
std::int64_t RWMutex::Slow::unlocked(std::int64_t state) noexcept {
  std::int64_t next = state & ~kWriter;
  if ((state & (kFlags & ~kSlots)) == (kWriter | kHeavy)) {
    next = (state & kIdleMask) >= kLightAfter * kIdleOne ? next & ~(kIdleMask | kHeavy)
                                                         : next + kIdleOne;
  }
  return opened(next);
}

bool RWMutex::Slow::claim(RWMutex& mutex, std::int64_t& former) noexcept {
  former = mutex.state_.load(kRelaxed);  // relaxed: the CAS checks it
  do {
    if ((former & kWriter) != 0) {
      return false;
    }
    // [rw.16] acquire, pairs with [rw.2], [rw.4], [rw.7]
  } while (!mutex.state_.compare_exchange_weak(former, claimed(former), kAcquire, kRelaxed));
  return true;
}

bool RWMutex::Slow::lock(Waiter& me) noexcept {
  std::int64_t awake = 0;  // kAwake if it stands for us
  int spins = 0;
  std::int64_t state = state_.load(kRelaxed);  // relaxed: the CAS checks it
  for (;;) {
    if ((state & kWriter) == 0) {
      // [rw.8] acquire, pairs with [rw.2], [rw.4], [rw.7]
      if (state_.compare_exchange_weak(state, claimed(state) & ~awake, kAcquire, kRelaxed)) {
        return enter_claimed(state) || wait_for_readers(me, state);
      }
      continue;
    }
    if (spin(spins)) {
      state = state_.load(kRelaxed);  // relaxed: the CAS checks it
      continue;
    }
    bucket_.lock();
    if (!make_heavy(state) ||
        // relaxed: the bucket's lock orders it with the release
        !state_.compare_exchange_strong(state, (state & ~awake & ~kIdleMask) | kWritersParked,
                                        kRelaxed, kRelaxed)) {
      bucket_.unlock();
      state = state_.load(kRelaxed);  // relaxed: the CAS checks it
      continue;
    }
    awake = 0;
    me.token = 0;
    if (me.since == 0) {
      me.since = detail::now();
      bucket_.push_back(me);
    } else {
      bucket_.push_front(me);  // it has waited before
    }
    // Interrupted, we leave kWritersParked behind: the release that must come clears it.
    bool const woken = bucket_.sleep(me, kWriteReason) == Wake::kWoken;
    if (me.token == kHandedOver) {
      if (woken) {
        state = state_.load(kRelaxed);  // relaxed: the wake orders it
        return enter_claimed(state) || wait_for_readers(me, state);
      }
      release(0);
      return false;
    }
    if (!woken) {
      return false;
    }
    awake = kAwake;
    spins = 0;
    state = state_.load(kRelaxed);  // relaxed: the CAS checks it
  }
}

// From here on nobody comes into a slot, and whoever is in one can be seen there.
bool RWMutex::Slow::enter_claimed(std::int64_t former) noexcept {
  if ((former & kSlots) == 0) {
    return count(former) == 0;
  }
  if ((former & kFenced) != 0) {  // unfenced: revoke() is more than a fence
    detail::full_fence();         // [rw.15] seq_cst, pairs with [rw.14]
  } else {
    revoke();
  }
  ReaderRow* const rows = detail::reader_rows();
  if (inside(rows) != 0) {
    return false;
  }
  close_slots(rows);
  return true;
}

// After claiming: until nobody is inside. False: interrupted, claim given up.
bool RWMutex::Slow::wait_for_readers(Waiter& me, std::int64_t former) noexcept {
  bool const slots = (former & kSlots) != 0;
  ReaderRow* const rows = slots ? detail::reader_rows() : nullptr;
  int spins = 0;
  bool left = inside(rows) == 0;
  while (!left && spin(spins)) {
    left = inside(rows) == 0;
  }
  if (!left) {
    if (slots) {
      detail::watch_readers(rows, 1);
      detail::fence_readers();
    }
    bool woken = true;
    me.address.store(watcher(&mutex_),
                     kRelaxed);  // relaxed: it is in no queue; the bucket is the same
    for (;;) {
      bucket_.lock();
      left = inside(rows) == 0;
      if (left || !woken) {
        bucket_.unlock();
        break;
      }
      bucket_.push_back(me);
      woken = bucket_.sleep(me, kWriteReason) == Wake::kWoken;
    }
    if (slots) {
      detail::watch_readers(rows, ~std::uint32_t{0});  // less 1
    }
  }
  if (!left) {
    release(0);
    return false;
  }
  if (slots) {
    close_slots(rows);
  }
  return true;
}

// The writer, alone inside now.
void RWMutex::Slow::close_slots(ReaderRow* rows) noexcept {
  // relaxed throughout: nobody is inside, so nobody else changes the count
  std::int64_t const state = state_.load(kRelaxed);
  if ((state & kFenced) != 0 && count(state) == 0) {
    return;  // they are about to be opened again
  }
  if (count(state) < 0) {
    detail::sweep_readers(rows, &mutex_);
  }
  state_.fetch_and((kReader - 1) & ~kSlots, kRelaxed);
}

// As enter_claimed() with the heavy barrier.
void RWMutex::Slow::revoke() noexcept {
  Nanos const start = detail::now();
  detail::fence_readers();
  Nanos const end = detail::now();
  // relaxed: a heuristic
  mutex_.pause_until_.store(end + detail::reader_slots_pause(end - start), kRelaxed);
}

// Not less than the number of readers inside, if kWriter is set and slots are revoked.
std::int64_t RWMutex::Slow::inside(const ReaderRow* rows) const noexcept {
  // [rw.10] acquire, pairs with [rw.4]
  return detail::count_readers(rows, &mutex_) + count(state_.load(kAcquire));
}

bool RWMutex::Slow::try_lock() noexcept {
  std::int64_t state = state_.load(kRelaxed);  // relaxed: the CAS checks it
  do {
    if ((state & kWriter) != 0) {
      return false;
    }
    const ReaderRow* rows = (state & kSlots) != 0 ? detail::reader_rows() : nullptr;
    if (detail::count_readers(rows, &mutex_) + count(state) > 0) {
      return false;
    }
    // [rw.11] acquire, pairs with [rw.2], [rw.4], [rw.7]
  } while (!state_.compare_exchange_weak(state, claimed(state), kAcquire, kRelaxed));
  if (enter_claimed(state)) {
    return true;
  }
  release(0);
  return false;
}

void RWMutex::Slow::release(std::int64_t staying) noexcept {
  bucket_.lock();
  Waiter* const admitted = bucket_.pop_all(readers(mutex_));
  for (const Waiter* reader = admitted; reader != nullptr; reader = reader->next) {
    ++staying;
  }
  // While kWriter is set, the state changes under the bucket's lock only.
  std::int64_t state = state_.load(kRelaxed);  // relaxed: as said
  Waiter* writer = nullptr;
  bool handed_over = false;
  if ((state & kWritersParked) != 0 && (state & kAwake) == 0) {
    writer = bucket_.pop(writers(mutex_));
    if (bucket_.first(writers(mutex_)) == nullptr) {
      state &= ~kWritersParked;
    }
  }
  state = (state & ~(kWriter | kReadersParked | kIdleMask)) + staying * kReader;
  if (writer != nullptr) {
    bool const sleep_on = count(state) > 0 && (state & kSlots) == 0;
    handed_over = !sleep_on && detail::now() - writer->since >= kFairAfter;
    if (sleep_on) {
      // It could only wait for the readers: the last one wakes it, and the lock is its own then.
      writer->token = kHandedOver;
      writer->address.store(watcher(&mutex_), kRelaxed);  // relaxed: under the bucket's lock
      bucket_.push_back(*writer);
      writer = nullptr;
      state |= kWriter;
    } else if (handed_over) {
      writer->token = kHandedOver;
      state |= kWriter;
    } else {
      state |= kAwake;
    }
  }
  if ((state & kWriter) == 0) {
    state = opened(state);
  }
  // [rw.7] release, pairs with [rw.6], [rw.8], [rw.9], [rw.11], [rw.16]; the last touch
  state_.store(state, kRelease);
  bucket_.unlock();
  detail::wake_all(admitted);
  if (writer != nullptr) {
    detail::wake(*writer);
    if (handed_over && detail::current_goroutine() != nullptr) {
      detail::yield_goroutine();  // it is the next one here: it runs while the lock is hot
    }
  }
}

void RWMutex::Slow::require_writer(const char* otherwise) const noexcept {
  std::int64_t const state =
      state_.load(kRelaxed);  // relaxed: the caller has the lock, or is wrong
  bool const slots = (state & kSlots) != 0 && (state & kFenced) == 0;
  if ((state & kWriter) == 0 || slots || count(state) != 0) {
    detail::fatal(otherwise);
  }
}

bool RWMutex::Slow::lock_shared(Waiter* me) noexcept {
  int spins = 0;
  for (;;) {
    std::int64_t state = state_.load(kRelaxed);  // relaxed: the CAS checks it
    if ((state & (kBias | kOpen)) != 0 && enter_any_slot()) {
      return true;
    }
    if ((state & kWriter) == 0) {
      bool const counts = (state & (kFenced | kManyReads)) == 0;
      std::int64_t const next = state + kReader + (counts ? kRead : 0);
      // [rw.12] acquire, pairs with [rw.2], [rw.7]
      if (state_.compare_exchange_weak(state, next, kAcquire, kRelaxed)) {
        if (!counts) {
          consider_slots();
        }
        return true;
      }
      continue;
    }
    if (me == nullptr) {
      return false;
    }
    if (spin(spins)) {
      continue;
    }
    bucket_.lock();
    if (!make_heavy(state) ||
        // relaxed: the bucket's lock orders it with the release
        !state_.compare_exchange_strong(state, (state & ~kIdleMask) | kReadersParked, kRelaxed,
                                        kRelaxed)) {
      bucket_.unlock();
      continue;
    }
    bucket_.push_back(*me);
    // The release that wakes us has counted us. Interrupted, we may leave kReadersParked behind:
    // the release that must come clears it.
    return bucket_.sleep(*me, kReadReason) == Wake::kWoken;
  }
}

// The slot that our readers try first is taken, or we have no row yet.
bool RWMutex::Slow::enter_any_slot() noexcept {
  ReaderRow* const row = detail::own_reader_row();
  if (row == nullptr) {
    return false;
  }
  for (auto& slot : row->held) {
    if (slot.load(kRelaxed) == nullptr) {  // relaxed: our own
      return mutex_.enter_slot_fenced(static_cast<std::size_t>(&slot - row->held), *row);
    }
  }
  return false;
}

// A reader inside, after many others and no writer: from now on by slots, if nothing speaks against
// it.
void RWMutex::Slow::consider_slots() noexcept {
  bool const slots = detail::reader_slots_enabled() &&
                     // relaxed: a heuristic
                     detail::now() >= mutex_.pause_until_.load(kRelaxed);
  std::int64_t state = state_.load(kRelaxed);  // relaxed: the CAS checks it
  std::int64_t next;
  do {
    if ((state & (kWriter | kWritersParked | kAwake | kFenced)) != 0) {
      return;
    }
    next = (state & ~kReadsMask) | (slots ? kBias | kSlots : 0);
    // [rw.13] release, pairs with [rw.9]: the last writer is before those who see kBias
  } while (!state_.compare_exchange_weak(state, next, kRelease, kRelaxed));
}

void RWMutex::Slow::unlock_shared() noexcept {
  std::int64_t state = state_.load(kRelaxed);  // relaxed: the CAS checks it
  if ((state & kSlots) != 0) {
    for (std::size_t i = 0; i < detail::kReaderSlots; ++i) {
      if (leave_slot(&mutex_, i)) {
        return;
      }
    }
  }
  if (count(state) <= 0) {
    require_reader();
  }
  while ((state & kWriter) == 0) {
    // [rw.4] release, as in the header
    if (state_.compare_exchange_weak(state, state - kReader, kRelease, kRelaxed)) {
      return;
    }
  }
  bucket_.lock();
  // [rw.4] release, as in the header. kWriter is still set: its owner waits for us.
  state = state_.fetch_sub(kReader, kRelease) - kReader;
  Waiter* writer = nullptr;
  if ((state & kSlots) != 0 || count(state) == 0) {
    writer = bucket_.pop(watcher(&mutex_));
  }
  bucket_.unlock();
  if (writer != nullptr) {
    detail::wake(*writer);
  }
}

// Nobody is counted: then somebody must be in a slot of another thread, where its goroutine came
// from.
void RWMutex::Slow::require_reader() const noexcept {
  for (;;) {
    std::int64_t const state = state_.load(kRelaxed);  // relaxed: a hint, see below
    bool const slots = (state & kSlots) != 0;
    if (slots && detail::count_readers(detail::reader_rows(), &mutex_) + count(state) > 0) {
      return;
    }
    if (count(state) > 0) {
      return;
    }
    // Either a misuse, or readers moved from slot to slot while we counted. Without slots to come
    // into, the sum is not less than the number of readers inside, as for a writer.
    state_.fetch_and(~(kBias | kOpen), kRelaxed);  // relaxed: the barrier orders it
    detail::fence_readers();
    bool const nobody = inside(detail::reader_rows()) <= 0;
    if ((state_.load(kRelaxed) & (kBias | kOpen)) == 0) {  // relaxed: fenced above
      if (nobody) {
        detail::fatal("sync: RUnlock of unlocked RWMutex");
      }
      return;
    }
  }
}

void RWMutex::lock_slow() noexcept {
  std::int64_t former = 0;
  bool const ours = Slow::claim(*this, former);
  Slow slow(*this);
  if (ours && slow.enter_claimed(former)) {
    return;
  }
  Waiter me(Slow::writers(*this));
  (void)(ours ? slow.wait_for_readers(me, former) : slow.lock(me));
}

bool RWMutex::lock_deadline(std::int64_t deadline) {
  if (deadline != detail::kForever && deadline <= detail::now()) {
    return false;
  }
  Waiter me(Slow::writers(*this));
  Interrupt const interrupt(me, deadline);
  bool const locked = Slow(*this).lock(me);
  if (locked) {
    acquired();
  }
  return locked;
}

bool RWMutex::lock_stoppable(std::stop_token token) {
  Waiter me(Slow::writers(*this));
  Interrupt const interrupt(me, std::move(token));
  bool const locked = Slow(*this).lock(me);
  if (locked) {
    acquired();
  }
  return locked;
}

bool RWMutex::try_lock_slow() noexcept { return Slow(*this).try_lock(); }

void RWMutex::unlock_slow() noexcept {
#if HAMGAM_RSEQ
  // relaxed: if anybody changes it, the store fails
  std::int64_t const held = state_.load(kRelaxed);
  if ((held & ~(kReadsMask | kSlots)) == (kWriter | kFenced) && detail::rseq_offset != 0 &&
      detail::store_if_equal(state_, held, Slow::opened(held & ~kWriter))) {
    return;
  }
#endif
  Slow slow(*this);
  slow.require_writer("sync: Unlock of unlocked RWMutex");
  std::int64_t state = state_.load(kRelaxed);  // relaxed: the CAS checks it
  while ((state & kReadersParked) == 0 &&
         ((state & kWritersParked) == 0 || (state & kAwake) != 0)) {
    // [rw.2] release, as in the header
    if (state_.compare_exchange_weak(state, Slow::unlocked(state), kRelease, kRelaxed)) {
      return;
    }
  }
  slow.release(0);
}

void RWMutex::downgrade_slow() noexcept {
  Slow slow(*this);
  slow.require_writer("sync: downgrade of unlocked RWMutex");
  slow.release(1);
}

void RWMutex::lock_shared_slow() noexcept {
  Waiter me(Slow::readers(*this));
  (void)Slow(*this).lock_shared(&me);
}

bool RWMutex::try_lock_shared_slow() noexcept { return Slow(*this).lock_shared(nullptr); }

bool RWMutex::lock_shared_deadline(std::int64_t deadline) {
  if (deadline != detail::kForever && deadline <= detail::now()) {
    return false;
  }
  Waiter me(Slow::readers(*this));
  Interrupt const interrupt(me, deadline);
  bool const locked = Slow(*this).lock_shared(&me);
  if (locked) {
    detail::tsan_acquire(this);
  }
  return locked;
}

bool RWMutex::lock_shared_stoppable(std::stop_token token) {
  Waiter me(Slow::readers(*this));
  Interrupt const interrupt(me, std::move(token));
  bool const locked = Slow(*this).lock_shared(&me);
  if (locked) {
    detail::tsan_acquire(this);
  }
  return locked;
}

void RWMutex::unlock_shared_slow() noexcept { Slow(*this).unlock_shared(); }

// Readers that came in by a slot and left by the count, and no writer since.
void RWMutex::forget_slots() noexcept { detail::sweep_readers(detail::reader_rows(), this); }

// About to come in by a slot, after many of this thread that fenced. If no writer came in all that
// time, readers do without from now on, if nothing speaks against it.
void RWMutex::consider_no_fence(ReaderRow& row) noexcept {
  std::int64_t state = state_.load(kRelaxed);  // relaxed: the CAS checks it
  bool const unchanged = row.fenced_lock == this && row.fenced_state == state;
  row.fenced_lock = this;
  row.fenced_state = state;
  if (unchanged && (state & (kFlags | kOpen | kFenced)) == (kSlots | kOpen | kFenced) &&
      detail::now() >= pause_until_.load(kRelaxed)) {  // relaxed: a heuristic
    // relaxed: whoever sees it is after the last writer all the same, by the release sequence
    state_.compare_exchange_strong(state, (state & ~(kOpen | kFenced | kReadsMask)) | kBias,
                                   kRelaxed, kRelaxed);
  }
}

void RWMutex::retreat(detail::atomic<const void*>& slot) noexcept {
  slot.store(nullptr, kRelaxed);  // relaxed: nothing was done under it
  detail::light_barrier();
  if (detail::reader_row()->watched.load(kRelaxed) != 0) {  // relaxed: the barrier orders it
    wake_watcher(this);
  }
}

void RWMutex::wake_watcher(const void* lock) noexcept {
  Bucket& bucket = detail::bucket_of(lock);
  bucket.lock();
  Waiter* const writer = bucket.pop(Slow::watcher(lock));
  bucket.unlock();
  if (writer != nullptr) {
    detail::wake(*writer);
  }
}

}  // namespace hamgam::inline HAMGAM_ABI
