// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "net/descriptor.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <utility>

#include "base/immortal.h"
#include "base/own_memory.h"
#include "hamgam/detail/goroutine.h"
#include "hamgam/net.h"
#include "os/fork.h"
#include "sched/poller.h"
#include "sync/janitor.h"
#include "wait/interruptible.h"
#include "wait/parking_lot.h"
#include "wait/stop.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr std::uint32_t kBlock = 256;
constexpr std::uint32_t kBlocks = 4096;

constinit SpinLock g_lock;
constinit NetDescriptor* g_free = nullptr;  // under g_lock
constinit std::uint32_t g_made = 0;         // under g_lock
constinit atomic<NetDescriptor*> g_blocks[kBlocks] = {};

NetDescriptor* take_record() noexcept {
  std::lock_guard const guard(g_lock);
  if (g_free == nullptr) {
    if (g_made == kBlock * kBlocks) {
      return nullptr;
    }
    auto* const block = try_make_own_array<NetDescriptor>(kBlock);
    if (block == nullptr) {
      return nullptr;
    }
    for (std::uint32_t i = kBlock; i-- > 0;) {
      block[i].index = g_made + i;
      block[i].next = g_free;
      g_free = &block[i];
    }
    g_blocks[g_made / kBlock].store(block, kRelease);  // [net.3] release, pairs with [net.4]
    g_made += kBlock;
  }
  NetDescriptor* d = g_free;
  g_free = d->next;
  return d;
}

void give_record(NetDescriptor& d) noexcept {
  std::lock_guard const guard(g_lock);
  d.next = g_free;
  g_free = &d;
}

void wake_sleepers(NetDirection& direction, std::uint32_t why = NetDirection::kReady) noexcept {
  // [net.1] seq_cst, pairs with [net.2]: what was stored before, a close or a deadline, too
  std::uint32_t const old = direction.word.fetch_or(why, kSeqCst);
  if ((old & NetDirection::kWaiters) == 0) {
    return;
  }
  Bucket& bucket = bucket_of(&direction.word);
  bucket.lock();
  // relaxed: under the lock, as whoever sets it
  direction.word.fetch_and(~NetDirection::kWaiters, kRelaxed);
  Waiter* const all = bucket.pop_all(&direction.word);
  bucket.unlock();
  wake_all(all);
}

}  // namespace

struct NetGone {
  std::stop_source source;
  GoroutineHead* goroutine = new_goroutine();  // so that nothing fails later
};

namespace {

// Which was taken out.
void tell_gone(NetGone* gone) noexcept {
  if (gone == nullptr || is_forked_child()) {  // a child has no goroutines
    return;
  }
  auto run = [](void* raw) {
    std::unique_ptr<NetGone> const held(static_cast<NetGone*>(raw));
    tsan_acquire(held.get());
    request_stop(held->source);
    drop_stop(std::move(held->source));
  };
  tsan_release(gone);
  start_goroutine(gone->goroutine, run, gone, nullptr, nullptr);
  g_poller.end_wait();
}

// By an event, or after a look, of that generation.
void tell_gone_if(NetDescriptor& d, std::uint64_t generation) noexcept {
  NetGone* gone = nullptr;
  {
    std::lock_guard const guard(d.lock);
    // relaxed throughout: under the lock, if there is another one's
    if (d.generation.load(kRelaxed) == generation) {
      gone = d.gone.exchange(nullptr, kRelaxed);
    }
  }
  tell_gone(gone);
}

void on_event(const PollEvent& event) noexcept {
  auto const index = static_cast<std::uint32_t>(event.data);
  // [net.4] acquire, pairs with [net.3]: the records
  NetDescriptor& d = g_blocks[index / kBlock].load(kAcquire)[index % kBlock];
  if (d.generation.load(kRelaxed) != event.data >> 32) {  // relaxed: a late event is dropped
    return;
  }
  if (event.readable) {
    wake_sleepers(d.read, NetDirection::kReady | (event.last ? NetDirection::kLast : 0));
  }
  if (event.writable) {
    wake_sleepers(d.write);
  }
  if (event.gone) {
    tell_gone_if(d, event.data >> 32);
  }
}

std::uint64_t tag_of(const NetDescriptor& d) noexcept {
  // relaxed: it changes when nobody refers to the record
  return std::uint64_t{d.generation.load(kRelaxed)} << 32 | d.index;
}

// By a user, after its first EAGAIN. 0, or the error.
int register_once(NetDescriptor& d) noexcept {
  if (is_forked_child()) {
    refuse_in_child();  // the epoll is the parent's, too
  }
  if (int const error = g_poller.use(&on_event); error != 0) {
    return error;
  }
  std::lock_guard const guard(d.lock);
  if (!d.registered) {
    int const error = g_poller.epoll().add(d.fd, tag_of(d));
    if (error != 0) {
      return error;
    }
    d.registered = true;
  }
  return 0;
}

// Its number is closed, or becomes another's. Whoever put it there was a user, and none is left.
void end_gone(NetDescriptor& d) noexcept {
  if (d.gone.load(kRelaxed) != nullptr) {          // relaxed: ordered by `users`
    tell_gone_if(d, d.generation.load(kRelaxed));  // relaxed: it changes when nobody refers to it
  }
}

// By the last user of a closed one.
void close_number(NetDescriptor& d) noexcept {
  end_gone(d);
  TsanIgnore const unseen;
  // In the child of a fork the epoll is the parent's.
  if (d.registered && !is_forked_child()) {
    g_poller.epoll().remove(d.fd);
  }
  ::close(d.fd);
}

struct Counted {
  Counted() noexcept { g_poller.begin_wait(); }
  ~Counted() { g_poller.end_wait(); }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
};

// Connections may be idle for long, after a request that went deep: their goroutines' stacks give
// back what they do not use. Looked for once in a second as long as there is anything to be had.
class IdleStacks final : public Aged {
 public:
  // Somebody is going to sleep.
  void expect() noexcept {
    // relaxed throughout: the janitor's lock orders the rest
    if (HAMGAM_UNLIKELY(!looking_.load(kRelaxed)) && !looking_.exchange(true, kRelaxed)) {
      (void)attend(*this, now() + kPeriod);  // no thread to be had: nothing is given back
    }
  }

  Nanos age() noexcept override {
    bool const more = g_poller.has_waiters() && discard_unused_stacks();
    // Once in vain proves nothing: who has called expect() may not have been asleep yet.
    if (more || !in_vain_) {
      in_vain_ = !more;
      return now() + kPeriod;
    }
    in_vain_ = false;
    looking_.store(false, kRelaxed);  // relaxed: the next expect() asks again
    return kForever;
  }

 private:
  static constexpr Nanos kPeriod = 1000 * kMillisecond;

  atomic<bool> looking_{false};
  bool in_vain_ = false;  // the latest look
};
constinit Immortal<IdleStacks> g_idle_stacks;

// Until the direction may be ready, or something else has happened that the caller looks at.
Wake sleep(NetDescriptor& d, NetDirection& direction, const NetLimit& limit, Nanos seen) {
  Waiter me(&direction.word);
  Nanos const end = std::min(limit.deadline, seen);
  if (end != kForever && end <= now()) {
    return Wake::kTimedOut;
  }
  Counted const counted;
  g_idle_stacks.value.expect();
  Interrupt const alarm(me, end);
  std::optional<Interrupt> stop;
  if (limit.token != nullptr) {
    stop.emplace(me, *limit.token);
  }
  Bucket& bucket = bucket_of(&direction.word);
  bucket.lock();
  // [net.2] seq_cst, pairs with [net.1]
  std::uint32_t const old = direction.word.fetch_or(NetDirection::kWaiters, kSeqCst);
  // relaxed: whoever changed it does the RMW after that
  if ((old & NetDirection::kReady) != 0 || is_closed(d) ||
      direction.deadline.load(kRelaxed) != seen) {
    bucket.unlock();
    return Wake::kWoken;
  }
  bucket.push_back(me);
  return bucket.sleep(me, "IO wait");
}

}  // namespace

NetDescriptor* open_descriptor(int fd, const char* kind) noexcept {
  NetDescriptor* d = take_record();
  if (d == nullptr) {
    return nullptr;
  }
  // relaxed throughout: nobody else refers to it yet
  d->fd = fd;
  d->kind = kind;
  d->registered = false;
  d->peer_size = 0;
  for (NetDirection* direction : {&d->read, &d->write}) {
    direction->word.store(0, kRelaxed);
    direction->deadline.store(kForever, kRelaxed);
    direction->registered = false;
    direction->drained = false;
  }
  d->handles.store(1, kRelaxed);
  d->users.store(0, kRelaxed);
  return d;
}

void release_descriptor(NetDescriptor* d) noexcept {
  // [net.5] acq_rel, pairs with itself: the last one sees what the others did
  if (d->handles.fetch_sub(1, kAcqRel) == 1) {
    (void)close_descriptor(*d);
    // relaxed: late events look at it, and may be wrong
    d->generation.store(d->generation.load(kRelaxed) + 1, kRelaxed);
    give_record(*d);
  }
}

bool is_closed(const NetDescriptor& d) noexcept {
  return (d.users.load(kRelaxed) & NetDescriptor::kClosed) != 0;  // relaxed: see [net.2]
}

bool enter_descriptor(NetDescriptor& d) noexcept {
  std::uint64_t users = d.users.load(kRelaxed);  // relaxed: the CAS checks it
  do {
    if ((users & NetDescriptor::kClosed) != 0) {
      return false;
    }
    // [net.6] acquire, pairs with [net.7]
  } while (!d.users.compare_exchange_weak(users, users + 1, kAcquire, kRelaxed));
  return true;
}

void leave_descriptor(NetDescriptor& d) noexcept {
  tsan_release(&d.users);
  // [net.7] acq_rel, pairs with [net.7]: calls are over before the number is closed
  if (d.users.fetch_sub(1, kAcqRel) == (NetDescriptor::kClosed | 1)) {
    close_number(d);
  }
}

bool close_descriptor(NetDescriptor& d) noexcept {
  // [net.7] acq_rel, pairs with [net.7]: whoever closes the number is after the last call
  std::uint64_t const users = d.users.fetch_or(NetDescriptor::kClosed, kAcqRel);
  if ((users & NetDescriptor::kClosed) != 0) {
    return false;
  }
  if (users == 0) {
    close_number(d);
  }
  wake_sleepers(d.read);
  wake_sleepers(d.write);
  return true;
}

int take_number(NetDescriptor& d) noexcept {
  std::uint64_t none = 0;
  // [net.7] acq_rel, pairs with [net.7]: the number is taken after the last call
  if (!d.users.compare_exchange_strong(none, NetDescriptor::kClosed, kAcqRel, kRelaxed)) {
    return -1;
  }
  tsan_acquire(&d.users);  // who closes the number is after the calls
  if (d.registered && !is_forked_child()) {
    g_poller.epoll().remove(d.fd);
  }
  int const fd = d.fd;
  end_gone(d);
  wake_sleepers(d.read);
  wake_sleepers(d.write);
  return fd;
}

void move_deadline(NetDirection& direction, Nanos deadline) noexcept {
  direction.deadline.store(deadline, kRelaxed);  // relaxed: the RMW that follows, [net.1]
  wake_sleepers(direction);
}

bool take_direction(NetDirection& direction, NetLimit& limit) {
  if (direction.busy.try_lock()) {
    return true;
  }
  bool taken = true;
  if (limit.token != nullptr) {
    taken = direction.busy.try_lock(*limit.token);
  } else if (limit.deadline != kForever) {
    taken = direction.busy.try_lock_until(TimePoint(std::chrono::nanoseconds(limit.deadline)));
  } else {
    direction.busy.lock();
  }
  limit.gave_up = !taken;
  return taken;
}

long operate(NetDescriptor& d, NetDirection& direction, NetCall call, void* argument,
             NetLimit& limit, std::error_code& error, long drains_below) {
  error.clear();
  for (;;) {
    if (!enter_descriptor(d)) {
      error = net::make_error_code(net::Errc::closed);
      return -1;
    }
    // relaxed: who moves it while we sleep wakes us
    Nanos const deadline = direction.deadline.load(kRelaxed);
    if (deadline != kForever && deadline <= now()) {
      leave_descriptor(d);
      error = net::make_error_code(net::Errc::deadline);
      return -1;
    }
    std::uint32_t const word = direction.word.load(kRelaxed);  // relaxed: sleep() looks again
    if (!direction.drained || (word & (NetDirection::kReady | NetDirection::kLast)) != 0) {
      if ((word & NetDirection::kReady) != 0) {
        // [net.8] seq_cst, pairs with [net.1]: before the call
        direction.word.fetch_and(~NetDirection::kReady, kSeqCst);
      }
      long const result = call(argument, d.fd);
      int failure = result < 0 ? errno : 0;
      if (failure == EAGAIN || failure == EWOULDBLOCK) {
        failure = register_once(d);
        direction.registered = failure == 0;
      }
      leave_descriptor(d);
      if (result >= 0) {
        direction.drained = 0 < result && result < drains_below && direction.registered;
        return result;
      }
      if (failure == EINTR) {
        continue;
      }
      if (failure != 0) {
        error = std::error_code(failure, std::generic_category());
        return -1;
      }
    } else {
      leave_descriptor(d);
    }
    Wake const end = sleep(d, direction, limit, deadline);
    if (end == Wake::kStopped || (end == Wake::kTimedOut && limit.deadline <= deadline)) {
      if (direction.drained) {
        direction.drained = false;  // something may be there that no event has told of yet
        continue;
      }
      limit.gave_up = true;
      return -1;
    }
  }
}

std::stop_token watch_peer(NetDescriptor& d, std::error_code& error) {
  error.clear();
  if (int const failure = register_once(d); failure != 0) {
    error = std::error_code(failure, std::generic_category());
    return {};
  }
  auto mine = std::make_unique<NetGone>();
  std::stop_token token;
  {
    std::lock_guard const guard(d.lock);
    if (NetGone* const other = d.gone.load(kRelaxed)) {  // relaxed: under the lock
      tsan_acquire(other);
      token = other->source.get_token();
    } else {
      token = mine->source.get_token();
      tsan_release(mine.get());
      d.gone.store(mine.release(), kRelaxed);  // relaxed: under the lock
    }
  }
  if (mine != nullptr) {
    discard_goroutine(mine->goroutine);
    drop_stop(std::move(mine->source));
    return token;
  }
  g_poller.begin_wait();
  pollfd peer{d.fd, POLLRDHUP, 0};
  if (poll(&peer, 1, 0) > 0) {
    tell_gone_if(d, d.generation.load(kRelaxed));  // relaxed: the caller refers to it
  }
  return token;
}

bool nap(NetDescriptor& d, NetDirection& direction, NetLimit& limit, Nanos until) {
  while (!is_closed(d)) {
    // relaxed: who moves it while we sleep wakes us
    Nanos const deadline = direction.deadline.load(kRelaxed);
    // [net.8] seq_cst, pairs with [net.1]: the next call is after the nap
    direction.word.fetch_and(~NetDirection::kReady, kSeqCst);
    NetLimit shorter = limit;
    shorter.deadline = std::min(limit.deadline, until);
    Wake const end = sleep(d, direction, shorter, deadline);
    if (end == Wake::kStopped || (end == Wake::kTimedOut && limit.deadline <= now())) {
      limit.gave_up = true;
      return false;
    }
    if (end == Wake::kTimedOut) {
      break;
    }
  }
  return true;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
