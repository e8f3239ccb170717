// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/rwmutex.h"

#include "base/fatal.h"
#include "sched/exit.h"
#include "sync/lock_watch.h"
#include "sync/reader_slots.h"
#include "wait/interruptible.h"
#include "wait/parking_lot.h"

// The slow paths of RWMutex. Its states and invariants stand in the header.
//
// A writer first claims the lock (kWriter), competing with other writers as for a Mutex; from then
// on no reader comes in, and it waits until those inside have left. Its release lets in all readers
// that wait.
//
// Why no reader and writer overlap.
//  Readers that are counted: a reader adds itself to the word that a writer's CAS claims. Whichever
//  is second sees the first: a reader that finds kWriter in what it added to takes itself off
//  again; a writer goes on only when it has seen a count of 0. Readers in slots, while kBias is
//  set: the reader stores its slot, then loads kBias; the writer clears kBias, then loads the
//  slots. In between the writer has a heavy barrier, which is a full fence at some point of every
//  thread. If that point is before the reader's store, its load comes after and sees kBias clear:
//  it retreats. If it is after the store, the writer sees the slot. (With full fences on both sides
//  this is the textbook argument for store buffering; ThreadSanitizer builds run it so.) Nobody is
//  missed while the writer counts: kWriter is set and the barrier is past, so nobody new comes in;
//  each reader that leaves empties one slot or lowers the count by one; a slot that is filled now,
//  or a count that is raised, is about to be taken back. So the sum of all slots and the count,
//  read one after the other, is never less than the number of readers inside at the end: if it is
//  0, nobody is, and nobody was about to take anything back either. A slot is written by its own
//  thread only, and no goroutine is suspended between finding a slot and filling or emptying it, so
//  plain loads and stores do. (A writer sweeps slots that were left over, but nobody else has
//  business with those.)
//
// Which way readers come in. Counted, each pays for two read-modify-writes of a line that all
// share; in a slot for none, but then the next writer pays for a heavy barrier. So they change to
// slots after kManyReads reads without a writer, and not for the ninefold of the time that the last
// barrier took after it: whatever the processor and the program, barriers take a tenth of the time
// at most (BRAVO's rule).
//
// Why no wake-up is lost. Writers and readers sleep only after a CAS under the bucket's lock that
// saw kWriter and set their bit; so the release sees the bit and looks at the queues under the same
// lock. The writer that waits for readers sets kWatched, then looks at the sum, and sleeps, all
// under the bucket's lock. A counted reader whose subtraction is after kWatched sees that, and
// takes the bucket's lock to wake it; if it is before, the sum is without it. One in a slot empties
// it, then loads `watched`; the writer raises `watched`, then (heavy barrier between) loads the
// slot: it sees the slot empty, or the reader sees `watched`. So do those who take back what they
// added. A reader touches nothing but the lock's address after it has left; by then the writer may
// have come and gone, and who sleeps there now looks again. (The counted half is
// test/model/rwmutex.py.)
//
// Exit: from then on nothing is handed over, as in Mutex, and no goroutine is let in.
//
// After Go's sync.RWMutex (readers that add and never fail) and BRAVO (Dice and Kogan, 2019: slots,
// the rule). Rejected: a slot that any thread may empty (it would take a read-modify-write on every
// way out); a table of slots that all threads share (BRAVO's own: hashed places collide, and
// threads share its lines); Go's second count of the readers a writer waits for (one that gives up
// would have to give it back while they leave); writers that hold back readers only once they have
// slept (readers could starve them); a token from lock_shared to unlock_shared (no
// std::shared_lock); slots that are entered with a fence where writers come now and then (a third
// way, for some 2 ns).

namespace hamgam::inline HAMGAM_ABI {

using detail::Bucket;
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
  bool lock_shared(Waiter& me) noexcept;

  // They do not wait.
  bool try_lock() noexcept;
  bool try_lock_shared() noexcept;

  // The same while locks are watched, and their ends.
  void lock_watched(const detail::LockSite& site) noexcept;
  void lock_shared_watched(const detail::LockSite& site) noexcept;
  void note_ours(detail::LockUse use, bool waits, const detail::LockSite& site) noexcept;
  void note_end(detail::LockUse use) noexcept;
  // `locked`, by a wait with a limit.
  bool noted(bool locked, detail::LockUse use, const detail::LockSite& site) noexcept {
    if (locked && detail::watching_locks()) {
      note_ours(use, false, site);
    }
    return locked;
  }

  bool added(std::uint64_t former) noexcept;
  void unlock() noexcept;
  void unlock_shared() noexcept;

  // Gives kWriter up. `staying`: how many readers we leave inside ourselves.
  void release(std::uint64_t staying) noexcept;

  // Fatal if nobody has the lock to write.
  void require_writer(const char* otherwise) const noexcept;

 private:
  // The readers inside, or more, and what the count's part of it was.
  struct Inside {
    std::int64_t sum;
    std::int64_t counted;
  };

  static const void* place(const void* mutex, int offset) noexcept {
    return static_cast<const char*>(mutex) + offset;
  }
  static std::uint64_t claimed(std::uint64_t state) noexcept {
    return (state & ~(kBias | kReadsMask)) | kWriter;
  }

  bool spin(int& rounds) const noexcept;
  bool park_bit(std::uint64_t parked, std::uint64_t awake) noexcept;
  bool enter_claimed(std::uint64_t former) noexcept;
  bool wait_for_readers(Waiter& me, std::uint64_t former) noexcept;
  void revoke() noexcept;
  Inside inside(const ReaderRow* rows) const noexcept;
  void close_slots(ReaderRow* rows, std::int64_t counted) noexcept;
  bool enter_any_slot() noexcept;
  void consider_slots() noexcept;
  void require_reader() const noexcept;

  void begin_wait(detail::LockUse use) noexcept {
    if (wait_ != nullptr) {
      wait_->begin(&mutex_, use, &mark);
    }
  }
  static bool mark(const void* lock, bool set) noexcept {
    auto& state = static_cast<RWMutex*>(const_cast<void*>(lock))->state_;
    // relaxed: a mark
    return ((set ? state.fetch_or(kMarked, kRelaxed) : state.load(kRelaxed)) & kMarked) != 0;
  }
  [[nodiscard]] bool is_marked() const noexcept {
    return (state_.load(kRelaxed) & kMarked) != 0;  // relaxed: ours, or a hint
  }

  RWMutex& mutex_;
  detail::atomic<std::uint64_t>& state_;
  Bucket& bucket_;
  detail::LockWait* wait_ = nullptr;  // that is watched
};

namespace {

constexpr int kSpinRounds = 4;
constexpr int kSpinPauses = 30;
constexpr Nanos kFairAfter = detail::kMillisecond;
constexpr std::uintptr_t kHandedOver = 1;  // kWriter is the waiter's
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

// Under the bucket's lock: tells the release of a sleeper. False: there is no writer any more.
bool RWMutex::Slow::park_bit(std::uint64_t parked, std::uint64_t awake) noexcept {
  std::uint64_t state = state_.load(kRelaxed);  // relaxed: the CAS checks it
  while ((state & kWriter) != 0) {
    // relaxed: the bucket's lock orders it with the release
    if (state_.compare_exchange_weak(state, (state & ~awake) | parked, kRelaxed, kRelaxed)) {
      return true;
    }
  }
  return false;
}

bool RWMutex::Slow::lock(Waiter& me) noexcept {
  std::uint64_t awake = 0;  // kAwake if it stands for us
  int spins = 0;
  for (;;) {
    std::uint64_t state = state_.load(kRelaxed);  // relaxed: the CAS checks it
    while ((state & kWriter) == 0) {
      // [rw.5] acquire, pairs with [rw.2], [rw.4], [rw.7]
      if (state_.compare_exchange_weak(state, claimed(state) & ~awake, kAcquire, kRelaxed)) {
        return enter_claimed(state) || wait_for_readers(me, state);
      }
    }
    if (spin(spins)) {
      continue;
    }
    begin_wait(detail::LockUse::kWrite);
    bucket_.lock();
    if (!park_bit(kWritersParked, awake)) {
      bucket_.unlock();
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
  }
}

// After claiming: true if nobody is inside. From here on nobody comes into a slot, and whoever is
// in one can be seen there.
bool RWMutex::Slow::enter_claimed(std::uint64_t former) noexcept {
  if ((former & kSlots) == 0) {
    return count(former) == 0;
  }
  revoke();
  ReaderRow* const rows = detail::reader_rows();
  auto const [sum, counted] = inside(rows);
  if (sum != 0) {
    return false;
  }
  close_slots(rows, counted);
  return true;
}

// After claiming: until nobody is inside. False: interrupted, claim given up.
bool RWMutex::Slow::wait_for_readers(Waiter& me, std::uint64_t former) noexcept {
  bool const slots = (former & kSlots) != 0;
  ReaderRow* const rows = slots ? detail::reader_rows() : nullptr;
  int spins = 0;
  Inside now = inside(rows);
  while (now.sum != 0 && spin(spins)) {
    now = inside(rows);
  }
  if (now.sum != 0) {
    if (slots) {
      detail::watch_readers(rows, 1);
      detail::fence_readers();
    }
    begin_wait(detail::LockUse::kDrain);
    bool woken = true;
    // relaxed: it is in no queue; the bucket is the same
    me.address.store(watcher(&mutex_), kRelaxed);
    for (;;) {
      bucket_.lock();
      state_.fetch_or(kWatched, kRelaxed);  // relaxed: the order of the word's own changes counts
      now = inside(rows);
      if (now.sum == 0 || !woken) {
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
  if (now.sum != 0) {
    release(0);
    return false;
  }
  if (slots) {
    close_slots(rows, now.counted);
  }
  return true;
}

// The writer, alone inside now. `counted` readers that came by slots have left by the count.
void RWMutex::Slow::close_slots(ReaderRow* rows, std::int64_t counted) noexcept {
  if (counted != 0) {
    detail::sweep_readers(rows, &mutex_);
  }
  // relaxed: nobody is inside. Somebody may be about to take back what it has added, so the count
  // is not simply set to 0.
  state_.fetch_sub(static_cast<std::uint64_t>(counted) * kReader + kSlots, kRelaxed);
}

// Nobody who is in a slot without being seen there is inside any more.
void RWMutex::Slow::revoke() noexcept {
  Nanos const start = detail::now();
  detail::fence_readers();
  Nanos const end = detail::now();
  // relaxed: a heuristic
  mutex_.pause_until_.store(end + detail::reader_slots_pause(end - start), kRelaxed);
}

// If kWriter is set and slots are revoked.
RWMutex::Slow::Inside RWMutex::Slow::inside(const ReaderRow* rows) const noexcept {
  std::int64_t const in_slots = detail::count_readers(rows, &mutex_);
  // [rw.10] acquire, pairs with [rw.4]
  std::int64_t const counted = count(state_.load(kAcquire));
  return {in_slots + counted, counted};
}

bool RWMutex::Slow::try_lock() noexcept {
  std::uint64_t state = state_.load(kRelaxed);  // relaxed: the CAS checks it
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

void RWMutex::Slow::unlock() noexcept {
  require_writer("sync: Unlock of unlocked RWMutex");
  note_end(detail::LockUse::kWrite);
  std::uint64_t state = state_.load(kRelaxed);  // relaxed: the CAS checks it
  while ((state & kReadersParked) == 0 &&
         ((state & kWritersParked) == 0 || ((state & kAwake) != 0 && !detail::exiting()))) {
    // [rw.2] release, as in the header
    if (state_.compare_exchange_weak(state, state & ~(kWriter | kWatched), kRelease, kRelaxed)) {
      return;
    }
  }
  release(0);
}

void RWMutex::Slow::release(std::uint64_t staying) noexcept {
  bool const exits = detail::exiting();
  bucket_.lock();
  Nanos const delay = detail::profiling_waits() ? bucket_.take_delay(readers(mutex_)) +
                                                      bucket_.take_delay(writers(mutex_))
                                                : 0;
  Waiter* const admitted = bucket_.pop_all(readers(mutex_));
  for (const Waiter* reader = admitted; reader != nullptr; reader = reader->next) {
    staying += exits && reader->goroutine != nullptr ? 0 : 1;
  }
  // While kWriter is set, the flags change under the bucket's lock only.
  std::uint64_t state = state_.load(kRelaxed);  // relaxed: as said, and the CAS checks the count
  Waiter* const all = exits ? bucket_.pop_all(writers(mutex_)) : nullptr;
  Waiter* writer = nullptr;
  std::uint64_t cleared = kWriter | kReadersParked | kWatched;
  if ((state & kWritersParked) != 0 && (state & kAwake) == 0) {
    writer = bucket_.pop(writers(mutex_));
  }
  if (bucket_.first(writers(mutex_)) == nullptr) {
    cleared |= kWritersParked;
  }
  bool const waited_long = writer != nullptr && detail::now() - writer->since >= kFairAfter;
  std::uint64_t set = 0;
  bool sleep_on = false;
  std::uint64_t next;
  do {
    next = (state & ~cleared) + staying * kReader;
    // With readers inside, the next writer could only wait for them: the last one wakes it, and the
    // lock is its own then. (While locks are watched it says itself that it keeps others out.)
    sleep_on =
        writer != nullptr && count(next) > 0 && (next & kSlots) == 0 && !detail::watching_locks();
    set = writer == nullptr ? 0 : sleep_on ? kWriter | kWatched : waited_long ? kWriter : kAwake;
    // [rw.7] release, pairs with [rw.1], [rw.5], [rw.6], [rw.11]; the last touch
  } while (!state_.compare_exchange_weak(state, next | set, kRelease, kRelaxed));
  if ((set & kWriter) != 0) {
    writer->token = kHandedOver;
  }
  if (sleep_on) {
    writer->address.store(watcher(&mutex_), kRelaxed);  // relaxed: under the bucket's lock
    bucket_.push_back(*writer);
    writer = nullptr;
  }
  bucket_.unlock();
  detail::wake_all(admitted);
  detail::wake_all(all);
  if (HAMGAM_UNLIKELY(delay != 0)) {
    detail::note_delay(delay);
  }
  if (writer != nullptr) {
    detail::wake(*writer);
    if (waited_long && detail::current_goroutine() != nullptr) {
      detail::yield_goroutine();  // it is the next one here: it runs while the lock is hot
    }
  }
}

void RWMutex::Slow::require_writer(const char* otherwise) const noexcept {
  // relaxed: the caller has the lock, or is wrong. Slots are open while a writer waits for readers.
  if ((state_.load(kRelaxed) & (kWriter | kSlots)) != kWriter) {
    detail::fatal(otherwise);
  }
}

// Who has added itself to `former` found a writer there, or is the last of many readers.
bool RWMutex::Slow::added(std::uint64_t former) noexcept {
  if ((former & kWriter) == 0) {
    consider_slots();
    return true;
  }
  // relaxed: nothing was done in between
  left(&mutex_, state_.fetch_sub(kReader + kRead, kRelaxed));
  return false;
}

bool RWMutex::Slow::try_lock_shared() noexcept {
  std::uint64_t state = state_.load(kRelaxed);  // relaxed: checked again
  if ((state & kBias) != 0 && enter_any_slot()) {
    return true;
  }
  if ((state & kWriter) != 0) {
    return false;
  }
  // [rw.12] acquire, pairs with [rw.2], [rw.7]
  state = state_.fetch_add(kReader + kRead, kAcquire);
  return (state & kWriter) == 0 || added(state);
}

bool RWMutex::Slow::lock_shared(Waiter& me) noexcept {
  int spins = 0;
  for (;;) {
    if (try_lock_shared()) {
      return true;
    }
    if (spin(spins)) {
      continue;
    }
    begin_wait(detail::LockUse::kShared);
    bucket_.lock();
    if (!park_bit(kReadersParked, 0)) {
      bucket_.unlock();
      continue;
    }
    bucket_.push_back(me);
    // The release that wakes us has counted us. Interrupted, we may leave kReadersParked behind:
    // the release that must come clears it.
    return bucket_.sleep(me, kReadReason) == Wake::kWoken;
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
      return mutex_.enter_slot(slot);
    }
  }
  return false;
}

// A reader inside, after many others and no writer: from now on by slots, if nothing speaks against
// it.
void RWMutex::Slow::consider_slots() noexcept {
  // relaxed: a heuristic
  if (!detail::reader_slots_enabled() || detail::now() < mutex_.pause_until_.load(kRelaxed)) {
    return;
  }
  std::uint64_t state = state_.load(kRelaxed);  // relaxed: the CAS checks it
  do {
    if ((state & (kWriter | kWritersParked | kAwake)) != 0) {
      return;
    }
    // [rw.13] release, pairs with [rw.9]: the last writer is before those who see kBias
  } while (!state_.compare_exchange_weak(state, state | kBias | kSlots, kRelease, kRelaxed));
}

// Not in the first slot, or locks are watched.
void RWMutex::Slow::unlock_shared() noexcept {
  note_end(detail::LockUse::kShared);
  for (std::size_t i = 0; i < detail::kReaderSlots; ++i) {
    if (leave_slot(&mutex_, i)) {
      return;
    }
  }
  if (count(state_.load(kRelaxed)) <= 0) {  // relaxed: a hint
    require_reader();
  }
  left(&mutex_, state_.fetch_sub(kReader, kRelease));  // [rw.4] release, as in the header
}

// Nobody is counted: then somebody must be in a slot of another thread, where its goroutine came
// from.
void RWMutex::Slow::require_reader() const noexcept {
  for (;;) {
    std::uint64_t const state = state_.load(kRelaxed);  // relaxed: a hint, see below
    bool const slots = (state & kSlots) != 0;
    if (slots && detail::count_readers(detail::reader_rows(), &mutex_) + count(state) > 0) {
      return;
    }
    if (count(state) > 0) {
      return;
    }
    // Either a misuse, or readers moved from slot to slot while we counted. Without slots to come
    // into, the sum is not less than the number of readers inside, as for a writer.
    state_.fetch_and(~kBias, kRelaxed);  // relaxed: the barrier orders it
    detail::fence_readers();
    bool const nobody = inside(detail::reader_rows()).sum <= 0;
    if ((state_.load(kRelaxed) & kBias) == 0) {  // relaxed: fenced above
      if (nobody) {
        detail::fatal("sync: RUnlock of unlocked RWMutex");
      }
      return;
    }
  }
}

void RWMutex::Slow::note_ours(detail::LockUse use, bool waits,
                              const detail::LockSite& site) noexcept {
  detail::note_lock(&mutex_, use, is_marked(), &mark, waits, site);
}

void RWMutex::Slow::note_end(detail::LockUse use) noexcept {
  if (!is_marked()) {
    return;
  }
  std::uint64_t const state = state_.load(kRelaxed);  // relaxed: a hint
  const ReaderRow* const rows = (state & kSlots) != 0 ? detail::reader_rows() : nullptr;
  detail::note_unlock(&mutex_, use, detail::count_readers(rows, &mutex_) + count(state));
}

void RWMutex::Slow::lock_watched(const detail::LockSite& site) noexcept {
  if (!try_lock()) {
    detail::LockWait wait;
    wait_ = &wait;
    Waiter me(writers(mutex_));
    (void)lock(me);
  }
  note_ours(detail::LockUse::kWrite, true, site);
}

void RWMutex::Slow::lock_shared_watched(const detail::LockSite& site) noexcept {
  if (!try_lock_shared()) {
    detail::LockWait wait;
    wait_ = &wait;
    Waiter me(readers(mutex_));
    (void)lock_shared(me);
  }
  note_ours(detail::LockUse::kShared, true, site);
}

HAMGAM_NOINLINE void RWMutex::lock_slow() noexcept {
  if (detail::watching_locks()) {
    Slow(*this).lock_watched(HAMGAM_LOCK_SITE());
    return;
  }
  Waiter me(Slow::writers(*this));
  (void)Slow(*this).lock(me);
}

bool RWMutex::lock_limited(auto limit) {
  bool const locked = detail::interruptible(Slow::writers(*this), std::move(limit),
                                            [this](Waiter& me) { return Slow(*this).lock(me); });
  if (locked) {
    acquired();
  }
  return locked;
}

bool RWMutex::lock_deadline(std::int64_t deadline) {
  return Slow(*this).noted(lock_limited(deadline), detail::LockUse::kWrite,
                           HAMGAM_LOCK_SITE_IF_WATCHED());
}

bool RWMutex::lock_stoppable(std::stop_token token) {
  return Slow(*this).noted(lock_limited(std::move(token)), detail::LockUse::kWrite,
                           HAMGAM_LOCK_SITE_IF_WATCHED());
}

HAMGAM_NOINLINE bool RWMutex::try_lock_slow() noexcept {
  bool const locked = Slow(*this).try_lock();
  if (locked && detail::watching_locks()) {
    Slow(*this).note_ours(detail::LockUse::kWrite, false, HAMGAM_LOCK_SITE());
  }
  return locked;
}

void RWMutex::unlock_slow() noexcept { Slow(*this).unlock(); }

void RWMutex::downgrade_slow() noexcept {
  Slow slow(*this);
  slow.require_writer("sync: downgrade of unlocked RWMutex");
  if (detail::watching_locks()) {
    slow.note_end(detail::LockUse::kWrite);
    slow.note_ours(detail::LockUse::kShared, false, HAMGAM_LOCK_SITE());
  }
  slow.release(1);
}

HAMGAM_NOINLINE void RWMutex::lock_shared_slow() noexcept {
  if (detail::watching_locks()) {
    Slow(*this).lock_shared_watched(HAMGAM_LOCK_SITE());
    return;
  }
  Waiter me(Slow::readers(*this));
  (void)Slow(*this).lock_shared(me);
}

bool RWMutex::lock_shared_limited(auto limit) {
  bool const locked =
      detail::interruptible(Slow::readers(*this), std::move(limit),
                            [this](Waiter& me) { return Slow(*this).lock_shared(me); });
  if (locked) {
    detail::tsan_acquire(this);
  }
  return locked;
}

bool RWMutex::lock_shared_deadline(std::int64_t deadline) {
  return Slow(*this).noted(lock_shared_limited(deadline), detail::LockUse::kShared,
                           HAMGAM_LOCK_SITE_IF_WATCHED());
}

bool RWMutex::lock_shared_stoppable(std::stop_token token) {
  return Slow(*this).noted(lock_shared_limited(std::move(token)), detail::LockUse::kShared,
                           HAMGAM_LOCK_SITE_IF_WATCHED());
}

HAMGAM_NOINLINE bool RWMutex::try_lock_shared_slow() noexcept {
  bool const locked = Slow(*this).try_lock_shared();
  if (locked && detail::watching_locks()) {
    Slow(*this).note_ours(detail::LockUse::kShared, false, HAMGAM_LOCK_SITE());
  }
  return locked;
}

void RWMutex::unlock_shared_slow() noexcept { Slow(*this).unlock_shared(); }

bool RWMutex::added(std::uint64_t former) noexcept { return Slow(*this).added(former); }

// Somebody has left, of `former`. The lock may be gone.
void RWMutex::left(const RWMutex* lock, std::uint64_t former) noexcept {
  bool const slots = (former & kSlots) != 0;
  if (!slots && count(former) <= 0) {
    detail::fatal("sync: RUnlock of unlocked RWMutex");
  }
  if ((former & kWatched) != 0 && (slots || count(former) == 1)) {
    wake_watcher(lock);
  }
}

// Readers that came in by a slot and left by the count, and no writer since.
void RWMutex::forget_slots() noexcept { detail::sweep_readers(detail::reader_rows(), this); }

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
  Nanos const delay = detail::profiling_waits() ? bucket.take_delay(Slow::watcher(lock)) : 0;
  Waiter* const writer = bucket.pop(Slow::watcher(lock));
  bucket.unlock();
  if (writer != nullptr) {
    detail::wake(*writer);
  }
  if (HAMGAM_UNLIKELY(delay != 0)) {
    detail::note_delay(delay);
  }
}

}  // namespace hamgam::inline HAMGAM_ABI
