// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/errgroup.h"

#include <string>
#include <system_error>

#include "hamgam/panic.h"
#include "wait/parking_lot.h"

// The limit of ErrGroup: a counter on which go() sleeps. A goroutine that ends hands its place over
// to the go() that has waited longest: strict FIFO, and what is handed over is never seen as free.
//
// Why no wake-up is lost: a go() sleeps only after it has, under the bucket's lock, seen the count
// at the limit and set kParked in one CAS. With a limit above 0 somebody is active then, and leaves
// by a CAS that sees kParked and looks at the queue under the same lock.

namespace hamgam::inline HAMGAM_ABI {

namespace {

using detail::Bucket;
using detail::kAcquire;
using detail::kRelaxed;
using detail::kRelease;
using detail::Waiter;

constexpr const char* kReason = "errgroup.Group.Go";

// Is it only the news of a cancelled context?
bool is_context_error(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const std::system_error& e) {
    return e.code().category() == context_category();
  } catch (...) {
    return false;
  }
}

}  // namespace

void ErrGroup::set_limit(int n) {
  std::int64_t const active =
      active_.load(kRelaxed) / kOne;  // relaxed: misuse is told where it can be
  if (active != 0) {
    throw Panic("errgroup: modify limit while " + std::to_string(active) +
                " goroutines in the group are still active");
  }
  limit_.store(n < 0 ? kNoLimit : n, kRelaxed);  // relaxed: as enter
}

bool ErrGroup::try_enter() noexcept {
  // relaxed throughout: as enter
  std::int64_t const limit = limit_.load(kRelaxed);
  std::int64_t state = active_.load(kRelaxed);
  do {
    if (state / kOne >= limit) {
      return false;
    }
    // [errgroup.1] acquire, pairs with [errgroup.2]
  } while (!active_.compare_exchange_weak(state, state + kOne, kAcquire, kRelaxed));
  if (limit != kNoLimit) {
    detail::tsan_acquire(&limit_);
  }
  return true;
}

void ErrGroup::enter_limited() noexcept {
  while (!try_enter()) {
    Bucket& bucket = detail::bucket_of(&active_);
    bucket.lock();
    // relaxed throughout: the bucket's lock orders it with the one that looks for us
    std::int64_t state = active_.load(kRelaxed);
    if (state / kOne < limit_.load(kRelaxed) ||
        !active_.compare_exchange_strong(state, state | kParked, kRelaxed, kRelaxed)) {
      bucket.unlock();
      continue;
    }
    Waiter me(&active_);
    bucket.push_back(me);
    (void)bucket.sleep(me, kReason);
    detail::tsan_acquire(&limit_);
    return;  // with the place of the one that woke us
  }
}

void ErrGroup::leave() noexcept {
  // relaxed throughout: running_ gives the edge to wait(), the bucket's lock the one to a sleeper
  if (limit_.load(kRelaxed) != kNoLimit) {
    detail::tsan_release(&limit_);
  }
  std::int64_t state = active_.load(kRelaxed);
  for (;;) {
    if ((state & kParked) == 0) {
      // [errgroup.2] release, pairs with [errgroup.1]: to who gets the place
      if (active_.compare_exchange_weak(state, state - kOne, kRelease, kRelaxed)) {
        break;
      }
      continue;
    }
    Bucket& bucket = detail::bucket_of(&active_);
    bucket.lock();
    Waiter* const heir = bucket.pop(&active_);
    if (bucket.first(&active_) == nullptr) {
      active_.fetch_and(~kParked, kRelaxed);
    }
    bucket.unlock();
    if (heir != nullptr) {
      detail::wake(*heir);
      break;
    }
    state = active_.load(kRelaxed);
  }
  running_.done();  // the last touch
}

void ErrGroup::fail(detail::Failure failure) noexcept {
  // relaxed: if the destructor has begun meanwhile, the cancellation it made is not what we report
  if (closing_.load(kRelaxed) && is_context_error(failure.exception)) {
    return;
  }
  // relaxed: exactly one gets false; running_ orders what follows with wait()
  if (!failed_.exchange(true, kRelaxed)) {
    failure_ = std::move(failure);
    derived_.cancel(failure_.exception);
  }
}

void ErrGroup::wait() {
  running_.wait();
  derived_.cancel();
  if (failure_.exception != nullptr) {
    taken_.store(true, kRelaxed);  // relaxed: for the destructor, which nobody may overtake
    detail::rethrow(failure_);
  }
}

ErrGroup::~ErrGroup() {
  closing_.store(true, kRelaxed);  // relaxed: seen by those who see the cancel
  derived_.cancel();
  running_.wait();
  // relaxed: as in wait
  if (failure_.exception != nullptr && !taken_.load(kRelaxed)) {
    detail::panic_uncaught(failure_);
  }
}

}  // namespace hamgam::inline HAMGAM_ABI
