// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sched/places.h"

#include <algorithm>
#include <mutex>

#include "os/fork.h"
#include "os/thread.h"

namespace hamgam::inline HAMGAM_ABI::detail {

constinit Places g_places;

// Under lock_. Between the two, who sums up sees an odd version or another one than before.
void Places::begin_change() noexcept {
  version_.store(version_.load(kRelaxed) + 1, kRelaxed);  // relaxed: fenced below
  full_fence();  // [places.3] release, pairs with [places.4]
}

void Places::end_change() noexcept {
  // [places.5] release, pairs with [places.6]; relaxed: under lock_
  version_.store(version_.load(kRelaxed) + 1, kRelease);
}

// Under lock_. There is always a place: there are no more workers.
void Places::put(Worker& worker) noexcept {
  // relaxed throughout: changed under lock_
  std::uint32_t index = first_free_;
  while (places_[index].load(kRelaxed) != nullptr) {
    ++index;
  }
  first_free_ = index + 1;
  worker.index = index;
  // The worker slot is the calling thread's.
  set_worker_slot(index + 1 < kWorkerSlots ? index + 1 : 0);
  taken_.store(taken_.load(kRelaxed) + 1, kRelaxed);
  places_[index].store(&worker, kRelease);  // [places.2] release, pairs with [places.1]
  count_.store(std::max(count_.load(kRelaxed), index + 1), kRelaxed);
}

// Under lock_.
void Places::clear(const Worker& worker) noexcept {
  // relaxed throughout: changed under lock_
  first_free_ = std::min(first_free_, worker.index);
  taken_.store(taken_.load(kRelaxed) - 1, kRelaxed);
  places_[worker.index].store(nullptr, kRelaxed);
  std::uint32_t count = count_.load(kRelaxed);
  while (count > 0 && places_[count - 1].load(kRelaxed) == nullptr) {
    --count;
  }
  count_.store(count, kRelaxed);
}

void Places::take(Worker& worker) noexcept {
  std::lock_guard const guard(lock_);
  begin_change();
  if (worker.retired) {
    worker.retired = false;
    worker.timers.open();
    count_retired(worker, -1);
  }
  put(worker);
  end_change();
}

bool Places::retire(Worker& worker, std::uint32_t enough, TimerHeap& heir) noexcept {
  std::lock_guard const guard(lock_);
  if (taken() <= enough || !worker.timers.close(heir)) {
    return false;
  }
  begin_change();
  worker.retired = true;
  count_retired(worker, 1);
  clear(worker);
  set_worker_slot(0);
  end_change();
  return true;
}

bool Places::move_down(Worker& worker) noexcept {
  std::lock_guard const guard(lock_);
  if (first_free_ >= worker.index) {
    return false;
  }
  begin_change();
  clear(worker);
  put(worker);
  end_change();
  return true;
}

// Under lock_. `times`: 1, or -1 to take it back.
void Places::count_retired(const Worker& worker, std::uint64_t times) noexcept {
  // relaxed throughout: version_ tells of changes
  started_.store(started_.load(kRelaxed) + times * worker.started.load(kRelaxed), kRelaxed);
  ended_.store(ended_.load(kRelaxed) + times * worker.ended.load(kRelaxed), kRelaxed);
  parks_.store(parks_.load(kRelaxed) + times * worker.parks.load(kRelaxed), kRelaxed);
  steals_.store(steals_.load(kRelaxed) + times * worker.steals.load(kRelaxed), kRelaxed);
}

std::uint64_t Places::sum(Counter Worker::*counter, const Counter& retired) const noexcept {
  for (;;) {
    // [places.6] acquire, pairs with [places.5]
    std::uint32_t const version = version_.load(kAcquire);
    if (version % 2 != 0 && !is_forked_child()) {  // there it stays as it is
      yield_thread();
      continue;
    }
    // relaxed throughout: version_ tells whether it fits
    std::uint64_t total = retired.load(kRelaxed);
    for_each([&](const Worker& worker) { total += (worker.*counter).load(kRelaxed); });
    full_fence();  // [places.4] acquire, pairs with [places.3]
    if (version_.load(kRelaxed) == version) {
      return total;
    }
  }
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
