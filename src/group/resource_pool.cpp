// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/resource_pool.h"

#include <algorithm>
#include <mutex>
#include <system_error>
#include <utility>

#include "base/random.h"
#include "hamgam/go.h"
#include "hamgam/mutex.h"
#include "hamgam/waitgroup.h"
#include "os/clock.h"
#include "os/spin_lock.h"
#include "sched/park.h"
#include "wait/parking_lot.h"

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
// Invariants, under lock: (1) idle <= open; (2) someone queued implies idle == 0, and open >=
// max_open or closed; (3) closed implies idle == 0 and nobody queued. Lock order: lock, then the
// bucket's. Nothing of the user's is called under either.

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr std::uintptr_t kCapacity = 1;  // what a waiter may be given instead of an entry
constexpr std::uintptr_t kClosed = 2;
constexpr const char* kReason = "ResourcePool.acquire";
constexpr Nanos kRetryOpening = 1000 * kMillisecond;  // for min_idle, when opening failed

[[noreturn]] void throw_closed() {
  throw std::system_error(std::make_error_code(std::errc::operation_canceled),
                          "hamgam::ResourcePool is closed");
}

}  // namespace

// Either a resource that was used before, or the right to open one.
struct ResourceCore::Grant {
  ResourceEntry* entry = nullptr;
};

struct ResourceCore::State {
  struct Alarm : Timer {
    ResourceCore* core = nullptr;
  };

  [[nodiscard]] bool may_open() const noexcept {
    return limits.max_open == 0 || open < limits.max_open;
  }

  [[nodiscard]] std::size_t max_idle() const noexcept {
    std::size_t const wanted = std::max(limits.max_idle, limits.min_idle);
    return limits.max_open == 0 ? wanted : std::min(wanted, limits.max_open);
  }

  [[nodiscard]] bool wants_more_idle() const noexcept {
    return idle < limits.min_idle && !closed && may_open();
  }

  [[nodiscard]] bool keeps_time() const noexcept {
    return limits.max_lifetime != 0 || limits.max_idle_time != 0;
  }

  [[nodiscard]] Nanos idle_until(const ResourceEntry& entry) const noexcept {
    return limits.max_idle_time == 0 || entry.returned > kForever - limits.max_idle_time
               ? kForever
               : entry.returned + limits.max_idle_time;
  }

  [[nodiscard]] Nanos due(const ResourceEntry& entry) const noexcept {
    return std::min(entry.expires, idle_until(entry));
  }

  void push_idle(ResourceEntry& entry) noexcept {
    entry.newer = nullptr;
    entry.older = newest;
    (newest != nullptr ? newest->newer : oldest) = &entry;
    newest = &entry;
    ++idle;
  }

  void take_idle(ResourceEntry& entry) noexcept {
    (entry.newer != nullptr ? entry.newer->older : newest) = entry.older;
    (entry.older != nullptr ? entry.older->newer : oldest) = entry.newer;
    --idle;
  }

  // A resource or capacity for who need not wait.
  bool take(Grant& grant) noexcept {
    if (newest != nullptr) {
      grant.entry = newest;
      take_idle(*newest);
      return true;
    }
    if (may_open()) {
      ++open;
      return true;
    }
    return false;
  }

  // The first waiter, off the queue: the caller gives it a token and wakes it.
  Waiter* next_waiter() noexcept {
    if (waiters == 0) {
      return nullptr;
    }
    Bucket& bucket = bucket_of(this);
    bucket.lock();
    Waiter* const waiter = bucket.pop(this);
    bucket.unlock();
    waiters -= waiter != nullptr ? 1 : 0;
    return waiter;
  }

  // True if the timer has to be set anew, because this is due before it fires; then `background`
  // counts the caller until it has done so.
  bool earlier_alarm(Nanos when) noexcept {
    if (when >= alarm_at) {
      return false;
    }
    alarm_at = when;
    background.add(1);
    return true;
  }

  // True if the caller must launch_maintenance(); `background` counts it already.
  bool needs_maintenance(bool wanted) noexcept {
    if (HAMGAM_LIKELY(!wanted) || closed) {
      return false;
    }
    if (maintaining) {
      return false;
    }
    maintaining = true;
    background.add(1);
    return true;
  }

  SpinLock lock;
  bool closed = false;
  bool dropped = false;
  bool maintaining = false;  // a goroutine is at it
  bool const checks_health;
  ResourceLimits limits;
  std::size_t open = 0;
  std::size_t idle = 0;
  std::size_t waiters = 0;  // queued, or just cancelled
  ResourceEntry* newest = nullptr;
  ResourceEntry* oldest = nullptr;
  ResourcePoolStats counters;
  Random random{static_cast<std::uint64_t>(now())};

  Nanos alarm_at = kForever;  // when the timer should fire
  Mutex alarm_mutex;          // for setting it
  Alarm alarm;
  WaitGroup background;  // those who may touch the core and neither hold a unit nor are its user

  explicit State(bool checks) : checks_health(checks) {}
};

// Entries to be closed once the lock is free.
class ResourceCore::Batch {
 public:
  void add(ResourceEntry& entry) noexcept {
    entry.older = first_;
    first_ = &entry;
  }
  void close(ResourceCore& core) noexcept {
    while (first_ != nullptr) {
      core.close_and_give_back(std::exchange(first_, first_->older));
    }
  }
  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }

 private:
  ResourceEntry* first_ = nullptr;
};

ResourceCore::ResourceCore(const ResourceLimits& limits, bool checks_health)
    : state_(new State(checks_health)) {
  state_->limits = limits;
  state_->alarm.core = this;
  state_->alarm.fire = [](Timer& timer) noexcept {
    ResourceCore& core = *static_cast<State::Alarm&>(timer).core;
    core.state_->lock.lock();
    bool const launch = core.state_->needs_maintenance(true);
    core.state_->lock.unlock();
    if (launch) {
      core.launch_maintenance();
    }
  };
}

ResourceCore::~ResourceCore() { delete state_; }

void ResourceCore::warm_up() noexcept {
  tsan_release(this);
  state_->lock.lock();
  bool const launch = state_->needs_maintenance(state_->wants_more_idle());
  state_->lock.unlock();
  if (launch) {
    launch_maintenance();
  }
}

ResourceEntry* ResourceCore::acquire() {
  State& s = *state_;
  Grant grant;
  s.lock.lock();
  if (HAMGAM_LIKELY(!s.closed && s.take(grant))) {
    bool const launch = s.needs_maintenance(s.wants_more_idle());
    s.lock.unlock();
    if (HAMGAM_UNLIKELY(launch)) {
      launch_maintenance();
    }
    return finish(grant);
  }
  s.lock.unlock();
  Waiter me(&s);
  return take_or_wait(&me);
}

ResourceEntry* ResourceCore::try_acquire() {
  State& s = *state_;
  Grant grant;
  s.lock.lock();
  bool const closed = s.closed;
  bool const taken = !closed && s.take(grant);
  bool const launch = s.needs_maintenance(s.wants_more_idle());
  s.lock.unlock();
  if (closed) {
    throw_closed();
  }
  if (launch) {
    launch_maintenance();
  }
  return taken ? finish(grant) : nullptr;
}

ResourceEntry* ResourceCore::acquire_deadline(std::int64_t deadline) {
  if (ResourceEntry* entry = try_acquire()) {
    return entry;
  }
  if (deadline != kForever && deadline <= now()) {
    return nullptr;
  }
  Waiter me(state_);
  Interrupt const interrupt(me, deadline);
  return take_or_wait(&me);
}

ResourceEntry* ResourceCore::acquire_stoppable(std::stop_token token) {
  if (ResourceEntry* entry = try_acquire()) {
    return entry;
  }
  Waiter me(state_);
  Interrupt const interrupt(me, std::move(token));
  return take_or_wait(&me);
}

// Null if the waiter was interrupted.
ResourceEntry* ResourceCore::take_or_wait(void* waiter) {
  State& s = *state_;
  Waiter& me = *static_cast<Waiter*>(waiter);
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
  if (wake == Wake::kWoken && me.token == kClosed) {
    throw_closed();  // and the pool may be gone
  }
  s.lock.lock();
  s.counters.wait_duration += std::chrono::nanoseconds(waited);
  if (wake != Wake::kWoken) {
    --s.waiters;
  }
  s.lock.unlock();
  if (wake != Wake::kWoken) {
    return nullptr;
  }
  if (me.token != kCapacity) {
    grant.entry = reinterpret_cast<ResourceEntry*>(me.token);
  }
  return finish(grant);
}

// Makes sure that what was granted is good, or opens one.
ResourceEntry* ResourceCore::finish(Grant grant) {
  State& s = *state_;
  while (ResourceEntry* entry = grant.entry) {
    tsan_acquire(entry);
    // Limits may change at any time; what was set when it became idle counts.
    bool good = entry->expires == kForever || now() < entry->expires;
    bool const expired = !good;
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
    grant.entry = nullptr;
    s.lock.lock();
    s.counters.max_lifetime_closed += expired ? 1 : 0;
    if (s.newest != nullptr) {
      grant.entry = s.newest;
      s.take_idle(*s.newest);
    }
    s.lock.unlock();
    if (grant.entry != nullptr) {
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
  s.lock.lock();
  if (s.limits.max_lifetime != 0) {
    Nanos const life = s.limits.max_lifetime;
    auto const jitter =
        static_cast<Nanos>(s.random.next() % (static_cast<std::uint64_t>(life) / 10 + 1));
    Nanos const time = now();
    entry->expires = life - jitter > kForever - time ? kForever : time + life - jitter;
  }
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
  Waiter* waiter = nullptr;
  bool kept = false;
  bool alarm = false;
  s.lock.lock();
  Nanos const time = HAMGAM_UNLIKELY(s.keeps_time()) ? now() : 0;
  if (HAMGAM_LIKELY(!s.closed && (s.limits.max_open == 0 || s.open <= s.limits.max_open))) {
    if (HAMGAM_UNLIKELY(entry->expires <= time)) {
      ++s.counters.max_lifetime_closed;
    } else if ((waiter = s.next_waiter()) != nullptr) {
      waiter->token = reinterpret_cast<std::uintptr_t>(entry);
      kept = true;
    } else if (s.idle < s.max_idle()) {
      entry->returned = time;
      s.push_idle(*entry);
      kept = true;
      alarm = time != 0 && s.earlier_alarm(s.due(*entry));
    } else {
      ++s.counters.max_idle_closed;
    }
  }
  s.lock.unlock();
  if (waiter != nullptr) {
    wake(*waiter);
  }
  if (HAMGAM_UNLIKELY(alarm)) {
    arm_timer();
    s.background.done();
  }
  if (HAMGAM_UNLIKELY(!kept)) {
    close_and_give_back(entry);
  }
}

void ResourceCore::close_and_give_back(ResourceEntry* entry) noexcept {
  tsan_acquire(entry);
  close_entry(entry);
  give_capacity_back();
}

// The last touch, if the pool is gone and this was the last unit.
void ResourceCore::give_capacity_back() noexcept {
  State& s = *state_;
  Waiter* waiter = nullptr;
  s.lock.lock();
  --s.open;
  if (!s.closed && s.may_open() && (waiter = s.next_waiter()) != nullptr) {
    ++s.open;
    waiter->token = kCapacity;
  }
  bool const launch = s.needs_maintenance(s.wants_more_idle());
  bool const last = s.dropped && s.open == 0;
  s.lock.unlock();
  if (waiter != nullptr) {
    wake(*waiter);
  }
  if (last) {
    tsan_acquire(this);
    delete this;
  } else if (HAMGAM_UNLIKELY(launch)) {
    launch_maintenance();
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
  Waiter* first = nullptr;
  s.lock.lock();
  s.closed = true;
  while (s.oldest != nullptr) {
    ResourceEntry& entry = *s.oldest;
    s.take_idle(entry);
    batch.add(entry);
  }
  while (Waiter* waiter = s.next_waiter()) {
    waiter->token = kClosed;
    waiter->next = first;
    first = waiter;
  }
  s.lock.unlock();
  wake_all(first);
  batch.close(*this);
}

void ResourceCore::drop() noexcept {
  State& s = *state_;
  close();
  s.alarm_mutex.lock();  // nobody sets the timer any more
  if (s.alarm.heap != nullptr) {
    remove_timer(s.alarm);
  }
  s.alarm_mutex.unlock();
  s.background.wait();
  s.lock.lock();
  s.dropped = true;
  tsan_release(this);
  bool const last = s.open == 0;
  s.lock.unlock();
  if (last) {
    delete this;
  }
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
  bool const launch = s.needs_maintenance(s.wants_more_idle() || (s.idle > 0 && s.keeps_time()));
  s.lock.unlock();
  wake_all(first);
  batch.close(*this);
  if (launch) {
    launch_maintenance();
  }
}

// ---- In the background: closing what grew too old, opening what min_idle asks for
// -----------------------

// Sets the timer for alarm_at.
void ResourceCore::arm_timer() noexcept {
  State& s = *state_;
  std::lock_guard const guard(s.alarm_mutex);
  s.lock.lock();
  Nanos const when = s.closed ? kForever : s.alarm_at;
  s.lock.unlock();
  if (s.alarm.heap != nullptr) {
    remove_timer(s.alarm);
  }
  if (when != kForever) {
    try {
      add_timer(s.alarm, when);
    } catch (...) {  // no memory: the next resource that becomes idle tries again
      std::lock_guard const again(s.lock);
      s.alarm_at = kForever;
    }
  }
}

void ResourceCore::launch_maintenance() noexcept {
  State& s = *state_;
  try {
    go([this] { maintain(); });
  } catch (...) {  // no memory for a goroutine: the next occasion tries again
    s.lock.lock();
    s.maintaining = false;
    s.lock.unlock();
    s.background.done();
  }
}

void ResourceCore::maintain() noexcept {
  State& s = *state_;
  tsan_acquire(this);  // whoever launched this need not know of the constructor
  bool failed = false;
  for (;;) {
    Batch batch;
    bool open = false;
    bool over = false;
    s.lock.lock();
    Nanos const time = now();
    Nanos next = kForever;
    for (ResourceEntry* entry = s.oldest; entry != nullptr;) {
      ResourceEntry& one = *std::exchange(entry, entry->newer);
      bool const too_old = one.expires <= time;
      // Below min_idle others would have to be opened instead.
      bool const too_idle = s.idle_until(one) <= time && s.idle > s.limits.min_idle;
      if (too_old || too_idle) {
        s.take_idle(one);
        batch.add(one);
        ++(too_old ? s.counters.max_lifetime_closed : s.counters.max_idle_time_closed);
      } else if (s.idle > s.limits.min_idle) {
        next = std::min(next, s.due(one));
      } else {
        next = std::min(next, one.expires);
      }
    }
    if (batch.empty()) {
      open = s.wants_more_idle() && !failed;
      if (open) {
        ++s.open;
      } else {
        if (failed && s.wants_more_idle()) {
          next = std::min(next, time + kRetryOpening);
        }
        s.alarm_at = next;
        s.maintaining = false;  // from here on another one may begin
        over = true;
      }
    }
    s.lock.unlock();
    batch.close(*this);
    if (open) {
      try {
        add_idle(finish(Grant{}));
      } catch (...) {
        failed = true;  // whoever acquires next will hear of it
      }
    }
    if (over) {
      arm_timer();
      s.background.done();
      return;
    }
  }
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
