// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sched/hold.h"

#include <mutex>

#include "base/intrusive_queue.h"
#include "os/membarrier.h"
#include "os/spin_lock.h"
#include "sched/scheduler.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constinit SpinLock g_looking;  // held by who looks
constinit SpinLock g_aside_lock;
constinit IntrusiveQueue<Goroutine> g_aside;  // under g_aside_lock

}  // namespace

HAMGAM_NOINLINE bool stay_aside(Goroutine& g) noexcept {
  std::lock_guard const guard(g_aside_lock);
  if (!g.fiber.context.held.load(kRelaxed)) {  // relaxed: under the lock
    return true;
  }
  g_aside.push(&g);
  return false;
}

Hold::Hold(Goroutine* const* records, std::size_t count, Patience patience) noexcept
    : records_(records), count_(count), works_(kTellsWhenSaved && heavy_barrier_available()) {
  if (!works_) {
    return;
  }
  if (patience == kPatient) {
    g_looking.lock();
  } else if (!g_looking.try_lock_patiently()) {
    works_ = false;
    return;
  }
  for (std::size_t i = 0; i < count_; ++i) {
    records_[i]->fiber.context.held.store(true, kRelaxed);  // relaxed: fenced below
  }
  if (!heavy_barrier()) {
    give_back();
    works_ = false;
  }
}

Hold::~Hold() {
  if (works_) {
    give_back();
  }
}

bool Hold::has(std::size_t index) const noexcept {
  // [hold.1] acquire, pairs with [hold.2]: what the switch has saved, and the stack
  return works_ && records_[index]->fiber.context.saved.load(kAcquire);
}

void Hold::give_back() noexcept {
  IntrusiveQueue<Goroutine> aside;
  {
    std::lock_guard const guard(g_aside_lock);
    for (std::size_t i = 0; i < count_; ++i) {
      // [hold.3] release, pairs with [hold.4]: it was looked at before
      records_[i]->fiber.context.held.store(false, kRelease);
    }
    aside.append(g_aside);
  }
  g_looking.unlock();
  while (Goroutine* g = aside.pop()) {
    // [hold.2] release, pairs with [hold.1]: the next who looks may find it before the queue has it
    g->fiber.context.saved.store(true, kRelease);
    push_global(g);
  }
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
