// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// ChanCore: a channel of values of a type known only at run time; what all handles of a Chan refer
// to.
//
// One lock, a ring of values, a queue of receivers and a queue of senders. After Go's
// runtime/chan.go: a value goes straight into the frame of a receiver that waits, past the ring;
// when a full ring is received from, the value of the first sender that waits takes the freed
// place.
//
// Rejected: a ring without a lock (crossbeam, flume). It saves little while the goroutines of a
// worker take turns, and a select would need a second protocol beside it; the lock-free look at
// `readiness_` gives its best part, the operation that finds nothing to do.
//
// readiness_ (64 bits)      meaning                                               changed
//   kCanRecv  bit 0         a receive may find a value, a sender, or closed        under the lock
//   kCanSend  bit 1         a send may find room, a receiver, or closed            under the lock
//   version   bits 2..63    goes up with each change of the bits                   under the lock
// Invariants:
//  (1) A bit that is clear is the truth; one that is set may be out of date (who waits may be a
//      select that was claimed elsewhere), and who relies on it looks under the lock.
//  (2) Of the two queues at most one holds anybody who can be claimed, but for the cases of one
//      select.
//  (3) Receivers wait only while the ring is empty, senders only while it is full; nobody once
//      closed, but for those whom close() is about to take off.
// Thread safety: any thread may do anything. What waits belongs to the lock until it is taken off.

#include <cstddef>

#include "base/cache_line.h"
#include "chan/selection.h"
#include "hamgam/detail/atomic.h"
#include "hamgam/detail/chan_ops.h"
#include "os/spin_lock.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// First in, first out; any may leave. Thread safety: the channel's lock.
class ChanQueue {
 public:
  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }

  void push(ChanWaiter& waiter) noexcept {
    waiter.queued = true;
    waiter.next = nullptr;
    waiter.prev = last_;
    (last_ != nullptr ? last_->next : first_) = &waiter;
    last_ = &waiter;
  }

  void remove(ChanWaiter& waiter) noexcept {
    waiter.queued = false;
    (waiter.prev != nullptr ? waiter.prev->next : first_) = waiter.next;
    (waiter.next != nullptr ? waiter.next->prev : last_) = waiter.prev;
  }

  // Claims the first who can be, and takes it off, and all before it who were claimed elsewhere.
  // Null: there is none. Cases of `own` stay.
  ChanWaiter* take(const Selection* own, Claim& claim) noexcept {
    for (ChanWaiter* waiter = first_; waiter != nullptr;) {
      ChanWaiter* const next = waiter->next;
      if (waiter->selection == nullptr) {
        claim = Claim::kParked;
        remove(*waiter);
        return waiter;
      }
      if (waiter->selection != own) {
        claim = waiter->selection->claim(waiter->place);
        remove(*waiter);
        if (claim != Claim::kLost) {
          return waiter;
        }
      }
      waiter = next;
    }
    return nullptr;
  }

  // Is there anybody but `own`?
  [[nodiscard]] bool has_other_than(const Selection* own) const noexcept {
    for (ChanWaiter* waiter = first_; waiter != nullptr; waiter = waiter->next) {
      if (waiter->selection == nullptr || waiter->selection != own) {
        return true;
      }
    }
    return false;
  }

 private:
  ChanWaiter* first_ = nullptr;
  ChanWaiter* last_ = nullptr;
};

// What fills a channel besides its senders, lazily: a timer. All but dispose is called under the
// channel's lock.
class ChanSource {
 public:
  // Somebody looks: puts in what is due by now.
  virtual void poll() noexcept = 0;
  // A receiver has queued itself: sees to it that it is served in time.
  virtual void awaited() noexcept = 0;
  // Nobody holds the channel any more. Destroys the channel and itself.
  virtual void dispose() noexcept = 0;

 protected:
  ~ChanSource() = default;
};

class ChanCore {
 public:
  static constexpr std::uint64_t kCanRecv = 1;
  static constexpr std::uint64_t kCanSend = 2;

  // What the ring takes, in bytes.
  static constexpr std::size_t ring_size(std::size_t element, std::size_t capacity) noexcept {
    return capacity * (element + kRoomSize);
  }

  static ChanCore* make(const ElementType& type, std::size_t capacity);
  // One with a source, at the front of a block of memory that the source owns and that has the ring
  // at `first_slot`; it looks empty and unbuffered from outside.
  static ChanCore* make_in(void* memory, const ElementType& type, std::size_t capacity,
                           std::size_t first_slot, ChanSource& source) noexcept {
    return ::new (memory) ChanCore(type, capacity, first_slot, &source);
  }
  ChanCore(const ChanCore&) = delete;
  ChanCore& operator=(const ChanCore&) = delete;

  void retain() noexcept {
    refs_.fetch_add(1, kRelaxed);  // relaxed: the caller holds one
  }
  void release() noexcept;

  // Without the lock: see readiness_. A thread that must not miss what happened before fences
  // first.
  [[nodiscard]] std::uint64_t readiness() noexcept {
    if (HAMGAM_UNLIKELY(source_ != nullptr)) {
      look_at_source();
    }
    return readiness_.load(kAcquire);  // [chan.1] acquire, pairs with [chan.2]
  }
  [[nodiscard]] static constexpr std::uint64_t bit_of(SelectOp::Kind kind) noexcept {
    return kind == SelectOp::kSend ? kCanSend : kCanRecv;
  }

  void lock() noexcept { lock_.lock_backing_off(); }
  void unlock() noexcept { lock_.unlock(); }

  // Under the lock, which it releases if the answer is not kGaveUp, which means that one would have
  // to wait. `own`: a selection whose cases do not count as partners.
  ChanResult do_locked(SelectOp& op, const Selection* own) noexcept;

  // Under the lock: could the operation find anybody or anything but `own`?
  [[nodiscard]] bool may_do_locked(SelectOp::Kind kind, const Selection* own) const noexcept;

  // Under the lock: queues a waiter whose members are set; takes it off again if it is still there.
  void enqueue(ChanWaiter& waiter, SelectOp::Kind kind) noexcept;
  void dequeue(ChanWaiter& waiter, SelectOp::Kind kind) noexcept;

  // Tell ThreadSanitizer of a send, or of the close: of two that nothing orders it says, as Go
  // does, that they race, even if the send came first this time.
  void note_send() const noexcept;
  void note_close() const noexcept;

  // Wait for nothing else.
  ChanResult send(void* value) noexcept;
  ChanResult recv(void* value) noexcept;

  // Does not wait.
  ChanResult attempt(SelectOp::Kind kind, void* value) noexcept;

  void close();

  [[nodiscard]] std::size_t len() noexcept;
  [[nodiscard]] std::size_t cap() const noexcept { return source_ == nullptr ? capacity_ : 0; }

  [[nodiscard]] bool is_shared() const noexcept {
    return refs_.load(kRelaxed) > 1;  // relaxed: the caller holds one
  }

  // For the source, under the lock. serve: sends, and releases the lock in any case.
  [[nodiscard]] bool is_awaited() const noexcept { return !receivers_.empty(); }
  [[nodiscard]] bool holds_value() const noexcept { return count_ > 0; }
  void put(void* value) noexcept;  // if there is room
  void drop_values() noexcept;
  void serve(void* value) noexcept;
  // What was before the one is before the receive of what the source gave after that: the other.
  void release_source() noexcept { tsan_release(this); }
  void acquire_source() noexcept {
    if (source_ != nullptr) {
      tsan_acquire(this);
    }
  }

 private:
#if defined(HAMGAM_TSAN)
  static constexpr std::size_t kRoomSize = 1;  // a slot's second address, see chan_edges.h
#else
  static constexpr std::size_t kRoomSize = 0;
#endif

  ChanCore(const ElementType& type, std::size_t capacity, std::size_t first_slot,
           ChanSource* source = nullptr) noexcept
      : type_(type),
        capacity_(capacity),
        first_slot_(first_slot),
        source_(source),
        readiness_(capacity > 0 ? kCanSend : 0) {}

  [[nodiscard]] std::byte* slot(std::size_t index) noexcept {
    return reinterpret_cast<std::byte*>(this) + first_slot_ + index * type_.size;
  }
  [[nodiscard]] const std::byte* room(std::size_t index) noexcept {
    return slot(capacity_) + index;
  }
  [[nodiscard]] std::size_t tail() const noexcept {  // if it is not full
    std::size_t const index = head_ + count_;
    return index >= capacity_ ? index - capacity_ : index;
  }
  void move(void* to, void* from) const noexcept;
  void destroy(void* value) const noexcept;
  void hand_over(ChanWaiter& receiver, void* value) const noexcept;
  void push_value(void* value) noexcept;
  void pop_value(void* to) noexcept;
  // chan_edges.h
  void note_filled(std::size_t index) noexcept;
  void note_emptied(std::size_t index) noexcept;
  void note_handover(const ChanWaiter& receiver, Claim claim) noexcept;
  void publish_readiness() noexcept;
  ChanWaiter* claim_some() noexcept;
  void link(ChanWaiter& waiter, SelectOp::Kind kind) noexcept;  // enqueue, inline
  // As do_locked; but after kGaveUp the caller still has to publish the readiness.
  ChanResult send_locked(void* value, const Selection* own) noexcept;
  ChanResult recv_locked(void* value, const Selection* own) noexcept;
  HAMGAM_NOINLINE void look_at_source() noexcept;
  bool wait_alone(void* value, SelectOp::Kind kind) noexcept;

  // Read by those who only look.
  const ElementType type_;
  const std::size_t capacity_;
  const std::size_t first_slot_;  // bytes from `this` to the ring
  ChanSource* const source_;      // null but for timers
  atomic<std::uint64_t> readiness_;

  // Written by every operation.
  alignas(kCacheLine) SpinLock lock_;
  atomic<std::uint32_t> refs_{1};
  bool closed_ = false;
  std::size_t count_ = 0;
  std::size_t head_ = 0;  // the oldest value
  ChanQueue receivers_;
  ChanQueue senders_;
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
