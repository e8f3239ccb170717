// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Who has which Mutex and RWMutex, and who waits for which, while locks are watched: so that a
// circle of those who wait for each other is told of at the moment that it closes, while all others
// go on. Off, a lock takes no more than a load: see detail/lock_watch.h.
//
// A lock's word has a mark once the lock was had while it was watched; unlocking then never goes
// the inline way. What is known of the lock is found by its address. A lock that was made anew
// where another one had been has no mark, so it is not taken for that: no destructor need tell.
//
// The circle. Who waits notes for what (wait), then looks who has that, what that one waits for,
// and so on. The two notes of each, "I have it" and "I wait", and the looks are ordered by full
// fences [watch.1]: of all in a circle the one whose fence is the last sees the others. What was
// seen is looked at twice, with the same waits at both times (their numbers): whoever waits gives
// up no lock meanwhile, so all of it was so at once.
//
// Who waits for one without a mark tells so all the same: whoever has it may not have come to note
// that. It looks only if there is a mark after its fence; if not, whoever sets that looks later.
//
// fork(): what others had locked of all this is locked in the child for ever. So nothing is watched
// there; if it wants that it begins anew.
//
// Not part of a circle: waits that end by themselves (with a time limit, a stop_token), tries,
// waits for what nobody has as his own (channels, groups). Any goroutine may unlock a Mutex: a lock
// that was unlocked by another than who had it is left out from then on.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/own_containers.h"
#include "hamgam/detail/atomic.h"
#include "hamgam/detail/lock_watch.h"

namespace hamgam::inline HAMGAM_ABI::detail {

struct LockNode;
struct LockHolder;

// Where a lock was taken: the return address of the function that this is made in, and some of
// those further out, if they are there.
struct LockSite {
  static constexpr std::size_t kMost = 6;
  const void* frames[kMost] = {};
};
#define HAMGAM_LOCK_SITE() \
  ::hamgam::detail::lock_site(__builtin_return_address(0), __builtin_frame_address(0))
#define HAMGAM_LOCK_SITE_IF_WATCHED() \
  (::hamgam::detail::watching_locks() ? HAMGAM_LOCK_SITE() : ::hamgam::detail::LockSite())
LockSite lock_site(const void* caller, void* frame) noexcept;

enum class LockUse : std::uint8_t {
  kAlone,  // a Mutex
  kWrite,  // an RWMutex
  kShared,
  kDrain,  // a writer that keeps others out already, and waits for the readers that are inside
};

HAMGAM_INLINE bool watching_locks() noexcept { return HAMGAM_UNLIKELY(watched_bit() != 0); }

// The same, for who touches what was prepared for it.
inline bool are_locks_watched() noexcept {
  return locks_watched.load(kAcquire) != 0;  // [watch.6] acquire, pairs with [watch.5]
}

// Does the lock's word have the mark? `set`: from now on.
using LockMark = bool (*)(const void* lock, bool set) noexcept;

// The lock is ours. If it is not `marked`, it is now. `waits`: for ever, if it had not been free.
void note_lock(const void* lock, LockUse use, bool marked, LockMark mark, bool waits,
               const LockSite& site) noexcept;
// It will not be ours any more. Only of one that has its mark. `inside`: how many have it yet, or
// are about to come or to leave.
void note_unlock(const void* lock, LockUse use, std::int64_t inside) noexcept;

// While it lives the caller waits for the lock, for ever if need be.
class LockWait {
 public:
  LockWait() noexcept = default;
  ~LockWait() { end(); }
  LockWait(const LockWait&) = delete;
  LockWait& operator=(const LockWait&) = delete;

  void begin(const void* lock, LockUse use, LockMark mark) noexcept;
  void end() noexcept;

 private:
  LockHolder* me_ = nullptr;
};

// A circle that was seen: each waits for a lock that the next one has, the last one for the
// first's.
struct LockCircle {
  struct Step {
    LockHolder* who;
    std::uint64_t wait;  // its number
    LockNode* lock;
    std::uint64_t incarnation;
    LockUse use;
  };
  OwnVector<Step> steps;

  // It is still there.
  [[nodiscard]] bool stands() const noexcept;
};

// What a report says of it.
struct LockWaiterInfo {
  std::uint64_t goroutine;          // 0: a plain thread,
  int thread;                       // with this number,
  std::vector<const void*> frames;  // which waits here
  const char* reason;
  const void* lock;
  bool has_readers;  // the lock is an RWMutex
  bool kept;         // for the next one, who is to write when the readers have left; else
  LockSite taken;    // by the next one
};
std::vector<LockWaiterInfo> describe(const LockCircle& circle);

// Takes it over, and tells people of it, unless it is gone soon: lock_report.cpp.
void report_circle(LockCircle&& circle) noexcept;
struct LockOrderReport;
void report_order(LockOrderReport&& report) noexcept;

// In the child of a fork.
void forget_lock_reports() noexcept;
void tell_of_locks_at_exit() noexcept;

// From now on, for good.
void start_watching_locks();

// How many reports were written; waits for those that are on their way.
std::uint64_t count_lock_reports() noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
