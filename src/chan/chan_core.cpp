// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "chan/chan_core.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "base/fatal.h"
#include "chan/chan_edges.h"
#include "wait/wait_profile.h"

// Why no wake-up is lost: whoever has to wait looks for a partner and queues itself in one hold of
// the lock, and a lone goroutine keeps the lock until it is off its stack; so whoever comes next
// finds it. Nobody is made runnable while the lock is held.

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr std::size_t kMaxBytes = std::size_t{1} << (sizeof(std::size_t) > 4 ? 47 : 30);

std::align_val_t alignment_for(const ElementType& type) noexcept {
  return std::align_val_t(std::max(alignof(ChanCore), type.align));
}

}  // namespace

ChanCore* ChanCore::make(const ElementType& type, std::size_t capacity) {
  std::size_t const first_slot = (sizeof(ChanCore) + type.align - 1) / type.align * type.align;
  if (type.size > kMaxBytes || capacity > kMaxBytes / type.size) {
    throw_panic("makechan: size out of range");
  }
  void* memory = ::operator new(first_slot + ring_size(type.size, capacity), alignment_for(type));
  return ::new (memory) ChanCore(type, capacity, first_slot);
}

void ChanCore::release() noexcept {
  tsan_release(&refs_);  // not at that of close()
  // [chan.3] acq_rel, pairs with itself: the others' use of the channel is before its end
  if (refs_.fetch_sub(1, kAcqRel) != 1) {
    return;
  }
  tsan_acquire(&refs_);
  if (source_ != nullptr) {
    source_->dispose();
    return;
  }
  for (; count_ > 0; --count_) {
    tsan_acquire(slot(head_));
    destroy(slot(head_));
    head_ = head_ + 1 == capacity_ ? 0 : head_ + 1;
  }
  std::align_val_t const alignment = alignment_for(type_);
  this->~ChanCore();
  ::operator delete(this, alignment);
}

#if HAMGAM_TSAN_USER
namespace {

void* chan_tag() noexcept {
  static constinit atomic<void*> tag{nullptr};
  // relaxed throughout: two that register it do no harm
  if (tag.load(kRelaxed) == nullptr) {
    tag.store(__tsan_external_register_tag("hamgam::Chan"), kRelaxed);
  }
  return tag.load(kRelaxed);
}

}  // namespace

void ChanCore::note_send() const noexcept {
  __tsan_external_read(const_cast<bool*>(&closed_), nullptr, chan_tag());
}
void ChanCore::note_close() const noexcept {
  __tsan_external_write(const_cast<bool*>(&closed_), nullptr, chan_tag());
}
#else
HAMGAM_INLINE void ChanCore::note_send() const noexcept {}
HAMGAM_INLINE void ChanCore::note_close() const noexcept {}
#endif

HAMGAM_INLINE void ChanCore::move(void* to, void* from) const noexcept {
  if (type_.move != nullptr) {
    type_.move(to, from);
  } else if (type_.size == sizeof(std::uint64_t)) {
    std::memcpy(to, from, sizeof(std::uint64_t));
  } else if (type_.size == sizeof(std::uint32_t)) {
    std::memcpy(to, from, sizeof(std::uint32_t));
  } else {
    std::memcpy(to, from, type_.size);
  }
}

HAMGAM_INLINE void ChanCore::destroy(void* value) const noexcept {
  if (type_.destroy != nullptr) {
    type_.destroy(value);
  }
}

HAMGAM_INLINE void ChanCore::hand_over(ChanWaiter& receiver, void* value) const noexcept {
  TsanHide const hide;
  move(receiver.value, value);
  receiver.done = true;
}

HAMGAM_INLINE void ChanCore::push_value(void* value) noexcept {
  TsanHide const hide;
  move(slot(tail()), value);
  ++count_;
}

HAMGAM_INLINE void ChanCore::pop_value(void* to) noexcept {
  TsanHide const hide;
  std::byte* const oldest = slot(head_);
  move(to, oldest);
  destroy(oldest);
  head_ = head_ + 1 == capacity_ ? 0 : head_ + 1;
  --count_;
}

HAMGAM_INLINE void ChanCore::publish_readiness() noexcept {
  std::uint64_t const bits = (closed_ || count_ > 0 || !senders_.empty() ? kCanRecv : 0) |
                             (closed_ || count_ < capacity_ || !receivers_.empty() ? kCanSend : 0);
  std::uint64_t const former = readiness_.load(kRelaxed);  // relaxed: under the lock
  if ((former & (kCanRecv | kCanSend)) != bits) {
    // [chan.2] release, pairs with [chan.1]: what is said not to be ready was made so before
    readiness_.store(((former >> 2) + 1) << 2 | bits, kRelease);
  }
}

HAMGAM_INLINE ChanResult ChanCore::send_locked(void* value, const Selection* own) noexcept {
  if (HAMGAM_UNLIKELY(closed_)) {
    unlock();
    return ChanResult::kClosed;
  }
  Claim claim = Claim::kLost;
  if (ChanWaiter* receiver = receivers_.take(own, claim)) {
    publish_readiness();
    note_handover(*receiver, claim);
    if (claim == Claim::kEarly) {
      hand_over(*receiver, value);
      unlock();
    } else {
      unlock();
      hand_over(*receiver, value);
      wake(*receiver->sleeper);
    }
    return ChanResult::kDone;
  }
  if (count_ < capacity_) {
    note_filled(tail());
    push_value(value);
    publish_readiness();
    unlock();
    return ChanResult::kDone;
  }
  return ChanResult::kGaveUp;
}

HAMGAM_INLINE ChanResult ChanCore::recv_locked(void* value, const Selection* own) noexcept {
  if (HAMGAM_UNLIKELY(source_ != nullptr)) {
    source_->poll();
  }
  Claim claim = Claim::kLost;
  if (count_ > 0) {
    note_emptied(head_);
    pop_value(value);
    acquire_source();
    ChanWaiter* const sender = HAMGAM_LIKELY(!closed_) ? senders_.take(own, claim) : nullptr;
    if (sender == nullptr) {
      publish_readiness();
      unlock();
      return ChanResult::kDone;
    }
    tell_as(*sender, claim, [this] { note_filled(tail()); });
    push_value(sender->value);
    sender->done = true;
    publish_readiness();
    unlock();
    if (claim == Claim::kParked) {
      wake(*sender->sleeper);
    }
    return ChanResult::kDone;
  }
  if (closed_) {
    unlock();
    tsan_acquire(this);
    return ChanResult::kClosed;
  }
  if (ChanWaiter* sender = senders_.take(own, claim)) {
    publish_readiness();
    tsan_acquire(sender);
    if (claim == Claim::kEarly) {
      move(value, sender->value);
      sender->done = true;
      tsan_release(sender);
      unlock();
    } else {
      unlock();
      move(value, sender->value);
      sender->done = true;
      tsan_release(sender);
      wake(*sender->sleeper);
    }
    return ChanResult::kDone;
  }
  return ChanResult::kGaveUp;
}

ChanResult ChanCore::do_locked(SelectOp& op, const Selection* own) noexcept {
  ChanResult const result =
      op.kind == SelectOp::kSend ? send_locked(op.value, own) : recv_locked(op.value, own);
  if (result == ChanResult::kGaveUp) {
    publish_readiness();
  }
  return result;
}

bool ChanCore::may_do_locked(SelectOp::Kind kind, const Selection* own) const noexcept {
  return kind == SelectOp::kSend ? closed_ || count_ < capacity_ || receivers_.has_other_than(own)
                                 : closed_ || count_ > 0 || senders_.has_other_than(own);
}

HAMGAM_INLINE void ChanCore::link(ChanWaiter& waiter, SelectOp::Kind kind) noexcept {
  tsan_forget(&waiter);
  tsan_release(&waiter);
  (kind == SelectOp::kSend ? senders_ : receivers_).push(waiter);
  publish_readiness();
  if (HAMGAM_UNLIKELY(source_ != nullptr)) {
    source_->awaited();
  }
}

void ChanCore::enqueue(ChanWaiter& waiter, SelectOp::Kind kind) noexcept { link(waiter, kind); }

void ChanCore::dequeue(ChanWaiter& waiter, SelectOp::Kind kind) noexcept {
  if (waiter.queued) {
    (kind == SelectOp::kSend ? senders_ : receivers_).remove(waiter);
    publish_readiness();
  }
}

// Under the lock, which it releases. False: the channel was closed.
bool ChanCore::wait_alone(void* value, SelectOp::Kind kind) noexcept {
  const char* const reason = kind == SelectOp::kSend ? "chan send" : "chan receive";
  Sleeper sleeper(nullptr);
  ChanWaiter me;
  me.value = value;
  me.sleeper = &sleeper;
  link(me, kind);
  ProfiledWait::in(reason, [&]() noexcept {
    if (sleeper.goroutine != nullptr) {
      park([](void* chan) noexcept { static_cast<ChanCore*>(chan)->unlock(); }, this, reason, this);
    } else {
      unlock();
      (void)sleep_thread(sleeper, reason, this);
    }
  });
  tsan_acquire(&me);
  acquire_source();
  if (!me.done) {
    tsan_acquire(this);
  }
  return me.done;
}

HAMGAM_INLINE ChanResult ChanCore::send(void* value) noexcept {
  note_send();
  lock();
  ChanResult const result = send_locked(value, nullptr);
  if (HAMGAM_LIKELY(result != ChanResult::kGaveUp)) {
    return result;
  }
  return wait_alone(value, SelectOp::kSend) ? ChanResult::kDone : ChanResult::kClosed;
}

HAMGAM_INLINE ChanResult ChanCore::recv(void* value) noexcept {
  lock();
  ChanResult const result = recv_locked(value, nullptr);
  if (result != ChanResult::kGaveUp) {
    return result;
  }
  return wait_alone(value, SelectOp::kRecv) ? ChanResult::kDone : ChanResult::kClosed;
}

ChanResult ChanCore::attempt(SelectOp::Kind kind, void* value) noexcept {
  lock();
  ChanResult const result =
      kind == SelectOp::kSend ? send_locked(value, nullptr) : recv_locked(value, nullptr);
  if (result == ChanResult::kGaveUp) {
    publish_readiness();
    unlock();
  }
  return result;
}

namespace {

void wake_chain(ChanWaiter* parked) noexcept {
  while (parked != nullptr) {
    ChanWaiter* const next = parked->next;
    wake(*parked->sleeper);
    parked = next;
  }
}

}  // namespace

// Those who wait are claimed under the lock and woken after it, some at a time: thousands may wait,
// and others spin for the lock. Whoever comes in between finds the channel closed; who waits still
// is nobody's partner any more (recv_locked).
void ChanCore::close() {
  note_close();
  lock();
  if (closed_) {
    unlock();
    throw_panic("close of closed channel");
  }
  closed_ = true;
  tsan_release(this);
  publish_readiness();
  if (HAMGAM_LIKELY(receivers_.empty() && senders_.empty())) {
    unlock();
    return;
  }
  ChanWaiter* parked = claim_some();
  bool const more = !receivers_.empty() || !senders_.empty();
  if (more) {
    retain();  // those who are woken may let go of the channel
  }
  unlock();
  wake_chain(parked);
  if (!more) {
    return;
  }
  do {
    lock();
    parked = claim_some();
    unlock();
    wake_chain(parked);
  } while (parked != nullptr);
  release();
}

// Under the lock: some of those who wait, who are to be woken; linked by next.
ChanWaiter* ChanCore::claim_some() noexcept {
  constexpr int kSome = 64;
  ChanWaiter* parked = nullptr;
  ChanWaiter** end = &parked;
  Claim claim = Claim::kLost;
  for (int count = 0; count < kSome;) {
    ChanWaiter* waiter = receivers_.take(nullptr, claim);
    if (waiter == nullptr) {
      waiter = senders_.take(nullptr, claim);
    }
    if (waiter == nullptr) {
      break;
    }
    if (claim == Claim::kParked) {
      *end = waiter;
      end = &waiter->next;
      ++count;
    }
  }
  *end = nullptr;
  return parked;
}

std::size_t ChanCore::len() noexcept {
  if (source_ != nullptr) {
    return 0;
  }
  lock();
  std::size_t const count = count_;
  unlock();
  return count;
}

void ChanCore::put(void* value) noexcept {
  if (count_ < capacity_) {
    note_filled(tail());
    push_value(value);
    publish_readiness();
  }
}

void ChanCore::drop_values() noexcept {
  for (; count_ > 0; --count_) {
    destroy(slot(head_));
    head_ = head_ + 1 == capacity_ ? 0 : head_ + 1;
  }
  publish_readiness();
}

void ChanCore::serve(void* value) noexcept {
  if (send_locked(value, nullptr) == ChanResult::kGaveUp) {
    publish_readiness();
    unlock();
  }
}

// One who finds the channel locked leaves it to the holder; it may be the caller itself.
void ChanCore::look_at_source() noexcept {
  if (lock_.try_lock()) {
    source_->poll();
    unlock();
  }
}

ChanCore* new_chan(const ElementType& type, std::size_t capacity) {
  return ChanCore::make(type, capacity);
}
void retain_chan(ChanCore* chan) noexcept { chan->retain(); }
void release_chan(ChanCore* chan) noexcept { chan->release(); }

void throw_send_on_closed() { throw_panic("send on closed channel"); }

void chan_send(ChanCore* chan, void* value) {
  if (HAMGAM_UNLIKELY(chan == nullptr)) {
    sleep_for_ever("chan send (nil chan)");
  }
  if (HAMGAM_UNLIKELY(chan->send(value) == ChanResult::kClosed)) {
    throw_send_on_closed();
  }
}

ChanResult chan_recv(ChanCore* chan, void* value) noexcept {
  if (HAMGAM_UNLIKELY(chan == nullptr)) {
    sleep_for_ever("chan receive (nil chan)");
  }
  return chan->recv(value);
}

namespace {

// The fence makes what this thread did before be seen before the look at the channel: without it
// two threads could each fill one channel and then both find the other's empty.
ChanResult attempt(ChanCore* chan, SelectOp::Kind kind, void* value) noexcept {
  if (chan == nullptr) {
    return ChanResult::kGaveUp;
  }
  full_fence();  // [chan.4] seq_cst, pairs with itself
  if ((chan->readiness() & ChanCore::bit_of(kind)) == 0) {
    return ChanResult::kGaveUp;
  }
  return chan->attempt(kind, value);
}

}  // namespace

ChanResult chan_try_send(ChanCore* chan, void* value) noexcept {
  if (HAMGAM_TSAN_USER != 0 && chan != nullptr) {
    chan->note_send();
  }
  return attempt(chan, SelectOp::kSend, value);
}

ChanResult chan_try_recv(ChanCore* chan, void* value) noexcept {
  return attempt(chan, SelectOp::kRecv, value);
}

void chan_close(ChanCore* chan) {
  if (chan == nullptr) {
    throw_panic("close of nil channel");
  }
  chan->close();
}

std::size_t chan_len(ChanCore* chan) noexcept { return chan == nullptr ? 0 : chan->len(); }
std::size_t chan_cap(const ChanCore* chan) noexcept { return chan == nullptr ? 0 : chan->cap(); }
bool chan_is_shared(const ChanCore* chan) noexcept { return chan->is_shared(); }

}  // namespace hamgam::inline HAMGAM_ABI::detail
