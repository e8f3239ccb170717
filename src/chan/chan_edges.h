// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// What chan_core.cpp tells ThreadSanitizer of the edges that channels promise. Nothing in other
// builds.
//
// Those of a buffer are as in racenotify of Go's runtime/chan.go. The k-th send, the k-th receive,
// the (k+C)-th send and so on use the same slot by turns, and each is before the next one and no
// other: so a slot has two addresses, one for the edge from who filled it (its first byte), one for
// the edge from who emptied it (its room, behind the ring). Each says what its last user did
// before, no more: he forgets what his predecessor said, and releases before he acquires. So two
// that send are not ordered by a slot, nor are two that receive.
//
// What is done for one who waits is told as he would tell it himself (tell_as). Nothing of his is
// acquired by the one who does it, nor released to him: who takes a value from a full buffer is not
// after the waiting sender whose value he puts there, and who sends is not after the receiver that
// waits. So there is no edge that allows the moves themselves, under the channel's lock or into the
// frame of one who sleeps: they are hidden (TsanHide), whatever an element's move constructor
// does.

#include "chan/chan_core.h"
#include "fiber/tsan_as.h"
#include "sched/goroutine.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// Calls edges() for one who waits. A goroutine that was parked is off its stack, and only the
// caller wakes it. Nobody can speak for a thread, or for a select that is still awake: there the
// one who waits and the caller are ordered both ways.
template <class F>
HAMGAM_INLINE void tell_as([[maybe_unused]] const ChanWaiter& waiter, [[maybe_unused]] Claim claim,
                           F edges) noexcept {
#if HAMGAM_TSAN_USER
  const Goroutine* const goroutine = waiter.sleeper->goroutine;
  if (claim == Claim::kParked && goroutine != nullptr) {
    TsanAs const as(goroutine->fiber);
    edges();
    return;
  }
#endif
  tsan_acquire(&waiter);
  edges();
  tsan_release(&waiter);
}

// By who sends. Go's memory model: "A send on a channel is synchronized before the completion of
// the corresponding receive" is the release; "the kth receive on a channel with capacity C is
// synchronized before the completion of the k+Cth send" is the acquire.
HAMGAM_INLINE void ChanCore::note_filled([[maybe_unused]] std::size_t index) noexcept {
#if defined(HAMGAM_TSAN)
  tsan_forget(slot(index));
  tsan_release(slot(index));
  tsan_acquire(room(index));
#endif
}

// By who receives: the other end of the two.
HAMGAM_INLINE void ChanCore::note_emptied([[maybe_unused]] std::size_t index) noexcept {
#if defined(HAMGAM_TSAN)
  tsan_forget(room(index));
  tsan_release(room(index));
  tsan_acquire(slot(index));
#endif
}

// By who sends to a receiver that waits. A value that is handed past the buffer counts as one that
// went through it. Without one, also "a receive from an unbuffered channel is synchronized before
// the completion of the corresponding send".
HAMGAM_INLINE void ChanCore::note_handover([[maybe_unused]] const ChanWaiter& receiver,
                                           [[maybe_unused]] Claim claim) noexcept {
#if defined(HAMGAM_TSAN)
  if (capacity_ == 0) {
    tsan_acquire(&receiver);
    tsan_release(&receiver);
    return;
  }
  note_filled(head_);
  tell_as(receiver, claim, [this] { note_emptied(head_); });
  head_ = head_ + 1 == capacity_ ? 0 : head_ + 1;
#endif
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
