// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/resource_pool.h"

#include <mutex>
#include <system_error>
#include <utility>

#include "group/resource_state.h"
#include "wait/interruptible.h"

// Capacity is a count, `open`: of resources in use, idle, being opened and being closed. Whoever
// holds a unit of it either has a resource for it or gives it back, which closes the circle when
// something throws.
//
// Nothing overtakes a waiter: resources and capacity that become free go to the first one before
// anybody else can see them. So while anybody waits, nothing is idle and open has reached its
// limit.
//
// A waiter that is cancelled loses nothing: whoever serves it takes it off the queue under the
// bucket's lock. If cancelling comes first, it is not in the queue any more and the next one is
// served. If serving comes first, it finds that it was woken, keeps what it was given, and acquire
// succeeds.
//
// What grows too old is closed, and what min_idle asks for opened, by the caretaker, a goroutine
// (resource_caretaker.cpp).
//
// Who may touch the core. It is kept alive by its pool, by each unit of capacity, by each waiter
// that leaves with empty hands (cancelled, or refused as the pool was closed) until it has left, by
// those who try several times, by the caretaker, and by nobody else: State::references() counts
// them. Who ceases to be one of them does so under the lock, by leave(), and the last one deletes
// the core. Others must not touch it once they have unlocked.
//
// The pool's functions, on the other hand, may refer to what lives only as long as the pool. Its
// destructor therefore waits for `calls`: waiters that were served, and the caretaker, join it
// under the lock and before `closed`, and call those functions only then. (Other acquires may not
// be under way when it is destroyed.)
//
// Invariants, under lock: (1) idle <= open; (2) someone queued implies idle == 0, and open >=
// max_open or closed; (3) closed implies idle == 0 and nobody queued; (4) gone implies closed and
// no calls. Lock order: lock, then the bucket's. Nothing of the user's is called under either.

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr std::uintptr_t kCapacity = 1;  // what a waiter may be given instead of an entry
constexpr std::uintptr_t kClosed = 2;
constexpr const char* kReason = "ResourcePool.acquire";

[[noreturn]] void throw_closed() {
  throw std::system_error(std::make_error_code(std::errc::operation_canceled),
                          "hamgam::ResourcePool is closed");
}

}  // namespace

ResourceCore::ResourceCore(const ResourceLimits& limits, bool checks_health)
    : state_(new State(checks_health)) {
  state_->limits = limits;
}

ResourceCore::~ResourceCore() { delete state_; }

void ResourceCore::warm_up() noexcept {
  tsan_release(this);
  state_->lock.lock();
  unlock(state_->wants_more_idle());
}

// The same for one who no longer keeps the core alive.
void ResourceCore::leave(bool calls_caretaker) noexcept {
  tsan_release(this);
  bool const last = state_->references() == 0;
  unlock(calls_caretaker && !last);
  if (last) {
    tsan_acquire(this);
    delete this;
  }
}

ResourceEntry* ResourceCore::acquire() {
  State& s = *state_;
  Grant grant;
  s.lock.lock();
  if (HAMGAM_LIKELY(!s.closed && s.take(grant))) {
    unlock(s.wants_more_idle());
    return finish(grant);
  }
  s.lock.unlock();
  Waiter me(&s);
  return take_or_wait(me);
}

ResourceEntry* ResourceCore::try_acquire() {
  State& s = *state_;
  Grant grant;
  s.lock.lock();
  bool const closed = s.closed;
  bool const taken = !closed && s.take(grant);
  unlock(s.wants_more_idle());
  if (closed) {
    throw_closed();
  }
  return taken ? finish(grant) : nullptr;
}

ResourceEntry* ResourceCore::acquire_deadline(std::int64_t deadline) {
  ResourceEntry* const entry = try_acquire();
  return entry != nullptr
             ? entry
             : interruptible(state_, deadline, [this](Waiter& me) { return take_or_wait(me); });
}

ResourceEntry* ResourceCore::acquire_stoppable(std::stop_token token) {
  ResourceEntry* const entry = try_acquire();
  return entry != nullptr ? entry : interruptible(state_, std::move(token), [this](Waiter& me) {
    return take_or_wait(me);
  });
}

void ResourceCore::begin_visit() noexcept {
  State& s = *state_;
  s.lock.lock();
  ++s.waiters;
  s.lock.unlock();
}

void ResourceCore::end_visit() noexcept {
  State& s = *state_;
  s.lock.lock();
  --s.waiters;
  leave();
}

// Null if the waiter was interrupted.
ResourceEntry* ResourceCore::take_or_wait(Waiter& me) {
  State& s = *state_;
  Grant grant;
  s.lock.lock();
  if (s.closed) {
    s.lock.unlock();
    throw_closed();
  }
  if (s.take(grant)) {
    s.lock.unlock();
    return finish(grant);
  }
  ++s.waiters;
  ++s.counters.wait_count;
  Bucket& bucket = bucket_of(&s);
  bucket.lock();
  bucket.push_back(me);
  s.lock.unlock();
  Nanos const since = now();
  Wake const wake = bucket.sleep(me, kReason);
  Nanos const waited = now() - since;
  s.lock.lock();
  s.counters.wait_duration += std::chrono::nanoseconds(waited);
  if (wake != Wake::kWoken || me.token == kClosed) {
    --s.waiters;
    leave();
    if (wake == Wake::kWoken) {
      throw_closed();
    }
    return nullptr;
  }
  if (me.token != kCapacity) {
    grant.entry = reinterpret_cast<ResourceEntry*>(me.token);
    grant.expires = s.expires(*grant.entry);
  }
  if (s.closed) {  // since it was served
    s.lock.unlock();
    grant.entry != nullptr ? close_and_give_back(grant.entry) : give_capacity_back();
    throw_closed();
  }
  s.calls.add(1);
  s.lock.unlock();
  struct Call {
    WaitGroup& calls;
    ~Call() { calls.done(); }  // keeps the pool, and so the core
  } const call{s.calls};
  return finish(grant);
}

// Makes sure that what was granted is good, or opens one.
ResourceEntry* ResourceCore::finish(Grant grant) {
  State& s = *state_;
  while (ResourceEntry* entry = grant.entry) {
    tsan_acquire(entry);
    bool const expired = grant.expires != kForever && now() >= grant.expires;
    bool good = !expired;
    if (good && s.checks_health) {
      try {
        good = entry_healthy(*entry);
      } catch (...) {
        close_and_give_back(entry);
        throw;
      }
    }
    if (HAMGAM_LIKELY(good)) {
      return entry;
    }
    close_entry(entry);
    // Its capacity is ours: for another idle one, whose own goes back, or to open one.
    s.lock.lock();
    s.counters.max_lifetime_closed += expired ? 1 : 0;
    grant.entry = nullptr;
    bool const another = s.take_newest(grant);
    s.lock.unlock();
    if (another) {
      give_capacity_back();
    }
  }
  ResourceEntry* entry = nullptr;
  try {
    entry = open_entry();
  } catch (...) {
    give_capacity_back();
    throw;
  }
  entry->opened = now();
  s.lock.lock();
  entry->haste = static_cast<float>(s.random.next() >> 40) / float{1 << 24};
  bool const closed = s.closed;
  s.lock.unlock();
  if (closed) {
    close_and_give_back(entry);
    throw_closed();
  }
  return entry;
}

void ResourceCore::release(ResourceEntry* entry) noexcept { add_idle(entry); }

void ResourceCore::discard(ResourceEntry* entry) noexcept { close_and_give_back(entry); }

// From use, or newly opened: to a waiter, among the idle, or closed.
void ResourceCore::add_idle(ResourceEntry* entry) noexcept {
  State& s = *state_;
  tsan_release(entry);
  s.lock.lock();
  Nanos const time = HAMGAM_UNLIKELY(s.keeps_time()) ? now() : 0;
  if (HAMGAM_LIKELY(!s.closed && (s.limits.max_open == 0 || s.open <= s.limits.max_open))) {
    // Once it is kept, the unit is another's, and after the unlock the core may be gone.
    if (HAMGAM_UNLIKELY(time != 0 && s.expires(*entry) <= time)) {
      ++s.counters.max_lifetime_closed;
    } else if (Waiter* const waiter = s.next_waiter()) {
      waiter->token = reinterpret_cast<std::uintptr_t>(entry);
      s.lock.unlock();
      wake(*waiter);
      return;
    } else if (HAMGAM_LIKELY(s.idle < s.max_idle())) {
      entry->returned = time;
      s.push_idle(*entry);
      unlock(time != 0 && s.due(*entry) < s.looks_again);
      return;
    } else {
      ++s.counters.max_idle_closed;
    }
  }
  s.lock.unlock();
  close_and_give_back(entry);
}

void ResourceCore::close_and_give_back(ResourceEntry* entry) noexcept {
  tsan_acquire(entry);
  close_entry(entry);
  give_capacity_back();
}

void ResourceCore::give_capacity_back() noexcept {
  State& s = *state_;
  Waiter* waiter = nullptr;
  s.lock.lock();
  --s.open;
  if (!s.closed && s.may_open() && (waiter = s.next_waiter()) != nullptr) {
    ++s.open;
    waiter->token = kCapacity;
  }
  leave(s.wants_more_idle());
  if (waiter != nullptr) {
    wake(*waiter);
  }
}

ResourcePoolStats ResourceCore::stats() const noexcept {
  State& s = *state_;
  std::lock_guard const guard(s.lock);
  ResourcePoolStats result = s.counters;
  result.max_open = s.limits.max_open;
  result.open = s.open;
  result.idle = s.idle;
  result.in_use = s.open - s.idle;
  return result;
}

void ResourceCore::close() noexcept {
  State& s = *state_;
  Batch batch;
  s.lock.lock();
  s.closed = true;
  while (s.oldest != nullptr) {
    ResourceEntry& entry = *s.oldest;
    s.take_idle(entry);
    batch.add(entry);
  }
  Bucket& bucket = bucket_of(&s);
  bucket.lock();
  Waiter* const refused = bucket.pop_all(&s);
  bucket.unlock();
  for (Waiter* waiter = refused; waiter != nullptr; waiter = waiter->next) {
    waiter->token = kClosed;
  }
  unlock(s.has_caretaker);
  wake_all(refused);
  batch.close(*this);
}

void ResourceCore::drop() noexcept {
  State& s = *state_;
  close();
  s.calls.wait();
  s.lock.lock();
  s.gone = true;
  leave();
}

void ResourceCore::set_limit(std::size_t ResourceLimits::*limit, std::size_t value) noexcept {
  change_limits([=](ResourceLimits& limits) { limits.*limit = value; });
}

void ResourceCore::set_limit(std::int64_t ResourceLimits::*limit, std::int64_t value) noexcept {
  change_limits([=](ResourceLimits& limits) { limits.*limit = value; });
}

template <class Change>
void ResourceCore::change_limits(Change change) noexcept {
  State& s = *state_;
  Batch batch;
  Waiter* first = nullptr;
  Waiter** end = &first;
  s.lock.lock();
  bool const kept_time = s.keeps_time();
  change(s.limits);
  if (s.keeps_time() && !kept_time) {
    for (ResourceEntry* entry = s.oldest; entry != nullptr; entry = entry->newer) {
      entry->returned = now();  // as far as anybody knows
    }
  }
  std::size_t const limit = s.limits.max_open;
  std::size_t surplus = limit != 0 && s.open > limit ? s.open - limit : 0;
  while (s.oldest != nullptr && (s.idle > s.max_idle() || surplus > 0)) {
    ResourceEntry& entry = *s.oldest;
    s.take_idle(entry);
    batch.add(entry);
    surplus -= surplus > 0 ? 1 : 0;
    ++s.counters.max_idle_closed;
  }
  while (!s.closed && s.may_open()) {
    Waiter* const waiter = s.next_waiter();
    if (waiter == nullptr) {
      break;
    }
    ++s.open;
    waiter->token = kCapacity;
    waiter->next = nullptr;
    *end = waiter;
    end = &waiter->next;
  }
  unlock(s.wants_more_idle() || (s.idle > 0 && s.keeps_time()));
  wake_all(first);
  batch.close(*this);
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
