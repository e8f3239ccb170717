// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/pool.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <mutex>
#include <new>
#include <utility>

#include "base/own_memory.h"
#include "os/fork.h"
#include "os/membarrier.h"
#include "os/spin_lock.h"
#include "os/thread.h"
#include "sync/janitor.h"
#include "sync/pool.h"

// Each worker has a shard: one hot object and two magazines of eight (Bonwick's), which it alone
// touches. What does not fit goes to the depot in whole magazines, under a lock, and from there to
// whoever is out of objects. Plain threads, and workers beyond the 63rd, put and get single objects
// in the depot.
//
// Ageing: when a period ends, everything in shards and depot becomes a victim, and the victims of
// the period before are destroyed. A get that finds nothing else takes a victim, which is thereby
// in use again.
//
// The owner of a shard takes no lock and makes no read-modify-write, and yet trim() and the janitor
// empty it from another thread, also while its owner sleeps:
//
//   owner     busy = true; light_barrier(); if (!open) go elsewhere; use the shard;
//             busy = false (release)
//   drainer   open = false; heavy_barrier(); wait until !busy (acquire); use the shard
//
// heavy_barrier() puts a full fence somewhere into the owner's program. If it is before the owner's
// load of `open`, the owner sees false and keeps away. If it is after, then also after the store of
// busy = true: the drainer sees that and waits for the busy = false that follows, which publishes
// what the owner did. So never both. The shard stays closed until its owner, finding it so, opens
// it under the lock; a drainer holds the lock all the while. The owner never waits for the lock
// while it is busy.
//
// Where the kernel has no such fence there are no shards, and all use the depot.
//
// Invariants, under lock: (1) a shard that is not open holds nothing but its victim.
// (2) stored + reserved <= max_count. (3) Whatever is anywhere in the pool, `active` is set or the
// pool is about to set it and to tell the janitor.
//
// Rejected: per-worker queues from which others steal one by one (Go): each put and get pays for
// the possibility with a read-modify-write.

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {
constexpr std::uint32_t kMagazine = 8;
constexpr std::size_t kShardLimit = 1 + 2 * kMagazine;
constinit atomic<bool> g_shards{true};
constexpr std::size_t kUnlimited = std::numeric_limits<std::size_t>::max();
}  // namespace

// Atomic only because goroutines of one worker use it in turn with nothing between them that
// ThreadSanitizer would take for an order.
struct PoolMagazine {
  PoolMagazine* next = nullptr;
  atomic<std::uint32_t> count{0};
  atomic<void*> items[kMagazine] = {};
  std::size_t weights[kMagazine] = {};

  // relaxed throughout: those who use it exclude each other
  [[nodiscard]] std::uint32_t size() const noexcept { return count.load(kRelaxed); }
  [[nodiscard]] bool full() const noexcept { return size() == kMagazine; }
  void push(void* object) noexcept {
    std::uint32_t const n = size();
    items[n].store(object, kRelaxed);
    count.store(n + 1, kRelaxed);
  }
  void* pop() noexcept {
    std::uint32_t const n = size() - 1;
    count.store(n, kRelaxed);
    return items[n].load(kRelaxed);
  }
};

namespace {

// A stack of magazines.
struct Magazines {
  PoolMagazine* first = nullptr;

  void push(PoolMagazine* magazine) noexcept {
    magazine->next = first;
    first = magazine;
  }
  PoolMagazine* pop() noexcept {
    PoolMagazine* magazine = first;
    if (magazine != nullptr) {
      first = magazine->next;
    }
    return magazine;
  }
};

// These are called by the owner, or by whoever keeps the owner out. Release and acquire only
// because a magazine may be made by one goroutine of the worker and used by the next.

PoolMagazine* loaded_of(const PoolShard& shard) noexcept {
  return shard.loaded.load(kAcquire);  // [pool.7] acquire, pairs with [pool.8]
}
PoolMagazine* previous_of(const PoolShard& shard) noexcept {
  return shard.previous.load(kAcquire);  // [pool.7] acquire, pairs with [pool.8]
}

void swap_magazines(PoolShard& shard) noexcept {
  PoolMagazine* const loaded = loaded_of(shard);
  shard.loaded.store(previous_of(shard), kRelease);  // [pool.8] release, pairs with [pool.7]
  shard.previous.store(loaded, kRelease);            // [pool.8] release, pairs with [pool.7]
}

void* pop_from(PoolShard& shard) noexcept {
  // relaxed throughout: the owner's own
  if (void* object = shard.hot.load(kRelaxed)) {
    shard.hot.store(nullptr, kRelaxed);
    return object;
  }
  for (int i = 0; i < 2; ++i) {
    if (PoolMagazine* loaded = loaded_of(shard); loaded != nullptr && loaded->size() != 0) {
      return loaded->pop();
    }
    swap_magazines(shard);
  }
  return nullptr;
}

bool push_to(PoolShard& shard, void* object) noexcept {
  // relaxed throughout: the owner's own
  if (shard.hot.load(kRelaxed) == nullptr) {
    shard.hot.store(object, kRelaxed);
    return true;
  }
  if (shard.hot_only.load(kRelaxed)) {
    return false;
  }
  for (int i = 0; i < 2; ++i) {
    if (PoolMagazine* loaded = loaded_of(shard); loaded != nullptr && !loaded->full()) {
      loaded->push(object);
      return true;
    }
    swap_magazines(shard);
  }
  return false;
}

bool uses_magazines(const PoolShard& shard) noexcept {
  // relaxed throughout: both are changed by the owner
  return shard.open.load(kRelaxed) && !shard.hot_only.load(kRelaxed);
}

// Runs f as the shard's owner, if the shard is open.
template <class F>
void as_owner(PoolShard& shard, F f) noexcept {
  // relaxed throughout: fenced by the light barrier
  shard.busy.store(true, kRelaxed);
  light_barrier();  // pairs with heavy_barrier() in drain()
  if (shard.open.load(kRelaxed)) {
    f();
  }
  shard.busy.store(false, kRelease);  // [pool.5] release, pairs with [pool.4]
}

// False: it is a thread that did not come along into the child of a fork. What is in the shard is
// as it left it in the middle of something.
bool await_owner(const PoolShard& shard) noexcept {
  for (int spins = 1;; ++spins) {
    if (!shard.busy.load(kAcquire)) {  // [pool.4] acquire, pairs with [pool.3] and [pool.5]
      return true;
    }
    if (is_forked_child()) {
      return false;
    }
    if (spins % 64 == 0) {
      yield_thread();  // the owner was interrupted
    } else {
      spin_pause();
    }
  }
}

// What is to be destroyed once the lock is no longer held.
struct Doomed {
  Magazines magazines;
  std::array<void*, 2 * kWorkerSlots> objects{};
  std::size_t count = 0;

  void add(void* object) noexcept {
    if (object != nullptr) {
      objects[count++] = object;
    }
  }

  std::size_t destroy(PoolCore::Destroy function) noexcept {
    std::size_t destroyed = count;
    for (std::size_t i = 0; i < count; ++i) {
      tsan_acquire(objects[i]);
      function(objects[i]);
    }
    while (PoolMagazine* magazine = magazines.pop()) {
      destroyed += magazine->size();
      while (magazine->size() != 0) {
        void* object = magazine->pop();
        tsan_acquire(object);
        function(object);
      }
      TsanHide const hide;
      drop_own(magazine);
    }
    return destroyed;
  }
};

enum class Put : std::uint8_t {
  kDone,
  kFirst,          // and the janitor is to look after the pool
  kFull,           // there is no room
  kWantsMagazine,  // there is no empty one
};

}  // namespace

struct PoolCore::State final : Aged {
  State(PoolCore& core, Destroy function, std::size_t count, std::size_t weight, bool weighs)
      : owner(core),
        destroy(function),
        max_count(count),
        max_weight(weight),
        weighed(weighs),
        // relaxed: a setting
        sharded(!weighs && g_shards.load(kRelaxed) && heavy_barrier_available()) {}

  Nanos age() noexcept override {
    Doomed doomed;
    lock.lock();
    take_victims(doomed);
    bool const drained = make_victims(doomed, true);
    bool const keeps = stored != 0 || !drained;
    active = keeps;
    lock.unlock();
    Nanos const again = keeps ? now() + kTrimPeriod : kForever;
    doomed.destroy(destroy);
    return again;
  }

  // All below under lock.

  // Without the lock's knowledge owners add shards of their own, which are not open.
  template <class F>
  void for_each_shard(F f) noexcept {
    for (unsigned slot = 1; slot < kWorkerSlots; ++slot) {
      // [pool.6] acquire, pairs with [pool.2]
      if (PoolShard* shard = owner.shards_[slot].load(kAcquire)) {
        f(*shard, slot);
      }
    }
  }

  [[nodiscard]] std::size_t room() const noexcept {
    return max_count - std::min(max_count, stored + reserved);
  }

  // By its owner.
  bool open_shard(PoolShard& shard) noexcept {
    if (shard.open.load(kRelaxed)) {  // relaxed: changes under the lock only
      return true;
    }
    if (max_count != kUnlimited) {
      if (room() == 0) {
        return false;
      }
      bool const hot_only = room() < kShardLimit;
      shard.hot_only.store(hot_only, kRelaxed);  // relaxed: its owner's own
      reserved += hot_only ? 1 : kShardLimit;
    }
    shard.open.store(true, kRelaxed);  // relaxed: changes under the lock only
    return true;
  }

  // Closes the shards and makes victims of what is in them. `fenced`: their owners may be about.
  // False if that is not possible for now.
  bool drain(Doomed& doomed, bool fenced) noexcept {
    std::uint64_t open = 0;  // a bit for each slot
    static_assert(kWorkerSlots <= 64);
    // relaxed throughout: [pool.4] orders us with the owners
    for_each_shard([&](PoolShard& shard, unsigned slot) {
      if (shard.open.load(kRelaxed)) {
        shard.open.store(false, kRelaxed);
        open |= std::uint64_t{1} << slot;
      }
    });
    if (open == 0) {
      return true;
    }
    bool const safe = !fenced || heavy_barrier();
    for_each_shard([&](PoolShard& shard, unsigned slot) {
      if ((open >> slot & 1) == 0) {
        return;
      }
      if (!safe) {
        shard.open.store(true, kRelaxed);  // the kernel has changed its mind: leave it alone
        return;
      }
      if (!await_owner(shard)) {
        return;  // it stays closed, and what it has is lost
      }
      if (max_count != kUnlimited) {
        reserved -= shard.hot_only.load(kRelaxed) ? 1 : kShardLimit;
      }
      if (void* hot = shard.hot.exchange(nullptr, kRelaxed)) {
        doomed.add(shard.victim);
        shard.victim = hot;
        ++stored;
      }
      for (auto* place : {&shard.loaded, &shard.previous}) {
        // [pool.8] acq_rel, pairs with [pool.7]
        if (PoolMagazine* magazine = place->exchange(nullptr, kAcqRel)) {
          stored += magazine->size();
          victims.push(magazine);
        }
      }
    });
    return safe;
  }

  bool make_victims(Doomed& doomed, bool fenced) noexcept {
    bool const drained = drain(doomed, fenced);
    while (PoolMagazine* magazine = full.pop()) {
      victims.push(magazine);
    }
    if (loose != nullptr) {
      victims.push(std::exchange(loose, nullptr));
    }
    while (PoolMagazine* magazine = empty.pop()) {
      doomed.magazines.push(magazine);
    }
    return drained;
  }

  void take_victims(Doomed& doomed) noexcept {
    for_each_shard([&](PoolShard& shard, unsigned /*slot*/) {
      if (shard.victim != nullptr) {
        doomed.add(std::exchange(shard.victim, nullptr));
        --stored;
      }
    });
    while (PoolMagazine* magazine = victims.pop()) {
      stored -= magazine->size();
      for (std::uint32_t i = 0; i < magazine->size(); ++i) {
        weight -= magazine->weights[i];
      }
      doomed.magazines.push(magazine);
    }
  }

  // Takes the lock. `shard`: the caller's, or null; `fresh`: an empty magazine that goes to the
  // others, or null.
  Put put(PoolShard* shard, void* object, std::size_t heaviness, PoolMagazine* fresh) noexcept {
    std::lock_guard const guard(lock);
    if (fresh != nullptr) {
      empty.push(fresh);
    }
    Put result = Put::kFull;
    if (shard != nullptr && open_shard(*shard) && push_to(*shard, object)) {
      result = Put::kDone;
    } else if (shard != nullptr && uses_magazines(*shard)) {
      result = put_in_new_magazine(*shard, object);
    } else if (room() > 0 && heaviness <= max_weight && weight <= max_weight - heaviness) {
      result = put_loose(object, heaviness);
    }
    return result == Put::kDone && !std::exchange(active, true) ? Put::kFirst : result;
  }

  // Both magazines of the shard are full, or there are fewer. By its owner.
  Put put_in_new_magazine(PoolShard& shard, void* object) noexcept {
    PoolMagazine* const previous = previous_of(shard);
    if (previous != nullptr && room() < previous->size()) {
      return Put::kFull;
    }
    PoolMagazine* const magazine = empty.pop();
    if (magazine == nullptr) {
      return Put::kWantsMagazine;
    }
    if (previous != nullptr) {
      stored += previous->size();
      full.push(previous);
    }
    swap_magazines(shard);
    shard.loaded.store(magazine, kRelease);  // [pool.8] release, pairs with [pool.7]
    magazine->push(object);
    return Put::kDone;
  }

  // There is room.
  Put put_loose(void* object, std::size_t heaviness) noexcept {
    if (loose != nullptr && loose->full()) {
      full.push(std::exchange(loose, nullptr));
    }
    if (loose == nullptr && (loose = empty.pop()) == nullptr) {
      return Put::kWantsMagazine;
    }
    loose->weights[loose->size()] = heaviness;
    loose->push(object);
    weight += heaviness;
    ++stored;
    return Put::kDone;
  }

  void* pop_depot(PoolMagazine& magazine) noexcept {
    --stored;
    weight -= std::exchange(magazine.weights[magazine.size() - 1], 0);
    return magazine.pop();
  }

  void* pop_victim() noexcept {
    while (victims.first != nullptr) {
      PoolMagazine& magazine = *victims.first;
      if (magazine.size() != 0) {
        return pop_depot(magazine);
      }
      empty.push(victims.pop());
    }
    void* object = nullptr;
    for_each_shard([&](PoolShard& shard, unsigned /*slot*/) {
      if (object == nullptr && shard.victim != nullptr) {
        object = std::exchange(shard.victim, nullptr);
        --stored;
      }
    });
    return object;
  }

  PoolCore& owner;
  Destroy const destroy;
  std::size_t const max_count;
  std::size_t const max_weight;
  bool const weighed;
  bool const sharded;

  SpinLock lock;
  Magazines full;
  Magazines victims;  // of any size
  Magazines empty;
  PoolMagazine* loose = nullptr;  // where those without a shard put and get
  std::size_t stored = 0;         // in full, victims, loose and the shards' victims
  std::size_t reserved = 0;       // for the open shards
  std::size_t weight = 0;         // of what is stored
  bool active = false;
};

void allow_pool_shards(bool allowed) noexcept {
  g_shards.store(allowed, kRelaxed);  // relaxed: a setting
}

PoolCore::PoolCore(Destroy destroy, std::size_t max_count, std::size_t max_weight, bool weighed)
    : state_(new State(*this, destroy, max_count, max_weight, weighed)) {}

PoolCore::~PoolCore() {
  std::size_t destroyed = 0;
  do {  // until no destructor puts anything back, for which the janitor may have been called
    strike_off(*state_);
    Doomed doomed;
    state_->take_victims(doomed);
    (void)state_->make_victims(doomed, false);
    state_->take_victims(doomed);
    destroyed = doomed.destroy(state_->destroy);
  } while (destroyed != 0);
  state_->for_each_shard([](PoolShard& shard, unsigned /*slot*/) {
    TsanHide const hide;
    drop_own(&shard);
  });
  delete state_;
}

std::size_t PoolCore::trim() {
  State& s = *state_;
  Doomed doomed;
  s.lock.lock();
  s.take_victims(doomed);
  (void)s.make_victims(doomed, true);
  s.take_victims(doomed);
  s.lock.unlock();
  return doomed.destroy(s.destroy);
}

// The shard of the calling worker, made if need be.
PoolShard* PoolCore::own_shard() noexcept {
  unsigned const slot = worker_slot();
  PoolShard* shard = shards_[slot].load(kAcquire);  // [pool.1] acquire, pairs with [pool.2]
  if (shard == nullptr && slot != 0 && state_->sharded) {
    TsanHide const hide;  // whoever makes it: it is this worker's
    shard = try_make_own<PoolShard>();
    shards_[slot].store(shard, kRelease);  // [pool.2] release, pairs with [pool.1] and [pool.6]
  }
  return shard;
}

void* PoolCore::get_slow() noexcept {
  State& s = *state_;
  // A shard is made by the first put.
  // [pool.1] acquire, pairs with [pool.2]
  PoolShard* shard = shards_[worker_slot()].load(kAcquire);
  void* object = nullptr;
  if (shard != nullptr) {
    as_owner(*shard, [&] { object = pop_from(*shard); });
    if (object != nullptr) {
      return object;
    }
  }
  std::lock_guard const guard(s.lock);
  if (s.stored == 0) {
    return nullptr;
  }
  if (s.full.first != nullptr) {
    if (shard != nullptr && s.open_shard(*shard) && uses_magazines(*shard)) {
      // pop_from has found both magazines empty, or there are none.
      PoolMagazine* const magazine = s.full.pop();
      s.stored -= magazine->size();
      // [pool.8] acq_rel, pairs with [pool.7]
      if (PoolMagazine* former = shard->loaded.exchange(magazine, kAcqRel)) {
        s.empty.push(former);
      }
      return magazine->pop();
    }
    if (s.loose == nullptr || s.loose->size() == 0) {
      if (s.loose != nullptr) {
        s.empty.push(s.loose);
      }
      s.loose = s.full.pop();
    }
  }
  if (s.loose != nullptr && s.loose->size() != 0) {
    return s.pop_depot(*s.loose);
  }
  return s.pop_victim();
}

bool PoolCore::put_slow(void* object, std::size_t weight) noexcept {
  State& s = *state_;
  PoolShard* const shard = own_shard();
  if (shard != nullptr) {
    bool done = false;
    as_owner(*shard, [&] { done = push_to(*shard, object); });
    if (done) {
      return true;
    }
  }
  Put put = s.put(shard, object, weight, nullptr);
  if (put == Put::kWantsMagazine) {
    TsanHide const hide;
    if (auto* const fresh = try_make_own<PoolMagazine>()) {
      put = s.put(shard, object, weight, fresh);
    }
  }
  if (put == Put::kFirst) {
    (void)attend(s, now() + kTrimPeriod);
  }
  return put == Put::kFirst || put == Put::kDone;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
