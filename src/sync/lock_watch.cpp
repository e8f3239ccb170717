// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sync/lock_watch.h"

#include <pthread.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <mutex>
#include <new>
#include <string_view>
#include <utility>

#include "base/debug_words.h"
#include "fiber/unwind.h"
#include "os/spin_lock.h"
#include "sched/dump.h"
#include "sched/park.h"
#include "sync/lock_node.h"
#include "sync/lock_order.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr std::size_t kFrames = 64;

// It has been unlocked by another, or is another one.
bool is_stale(const HeldLock& held, const LockHolder* me) noexcept {
  const LockNode& node = *held.node;
  // relaxed throughout: ours, or a hint
  return node.anybodys.load(kRelaxed) || node.incarnation.load(kRelaxed) != held.incarnation ||
         (held.alone && node.owner.load(kRelaxed) != me);
}

// What is looked at when a lock is taken after a sequence of others, of each kind once.
enum class Look : std::uint8_t { kShared, kAlone, kWriter };

Look look_of(bool alone) noexcept { return alone ? Look::kAlone : Look::kShared; }

std::uint64_t chain_after(std::uint64_t chain, const LockNode& node, Look look) noexcept {
  constexpr std::uint64_t kPrime = 0x9E3779B97F4A7C15U;
  chain = (chain ^ reinterpret_cast<std::uintptr_t>(&node)) * kPrime;
  chain ^= chain >> 29;
  std::uint64_t const incarnation = node.incarnation.load(kRelaxed);  // relaxed: a hint, or ours
  chain = (chain ^ (incarnation * 4 + static_cast<std::uint64_t>(look))) * kPrime;
  return chain ^ chain >> 31;
}

std::uint64_t chain_with(const LockHolder& me, const LockNode& node, Look look) noexcept {
  return chain_after(me.held.empty() ? 0 : me.held.back().chain, node, look);
}

void rehash(LockHolder& me, std::size_t from) noexcept {
  for (std::size_t i = from; i < me.held.size(); ++i) {
    HeldLock& one = me.held[i];
    one.chain = chain_after(i == 0 ? 0 : me.held[i - 1].chain, *one.node, look_of(one.alone));
  }
}

void forget_held(LockHolder& me, const LockNode& node, bool alone) noexcept {
  for (std::size_t i = me.held.size(); i-- != 0;) {
    if (me.held[i].node == &node && me.held[i].alone == alone) {
      me.held.erase(me.held.begin() + static_cast<std::ptrdiff_t>(i));
      rehash(me, i);
      return;
    }
  }
}

void look_at_order(LockHolder& me, const LockNode& node, bool alone) {
  if (HAMGAM_LIKELY(me.held.empty()) || node.anybodys.load(kRelaxed)) {  // relaxed: a hint
    return;
  }
  if (std::erase_if(me.held, [&me](const HeldLock& one) { return is_stale(one, &me); }) != 0) {
    rehash(me, 0);
    if (me.held.empty()) {
      return;
    }
  }
  std::uint64_t const chain = chain_with(me, node, look_of(alone));
  if (HAMGAM_LIKELY(!is_new_chain(chain))) {
    return;
  }
  LockOrderStep who;
  who.goroutine = me.goroutine;
  who.thread = me.thread;
  LockOrderReport report = order().take(me.held, node, alone, who);
  if (!report.steps.empty()) {
    report_order(std::move(report));
  }
  keep_chain(chain);
}

// A writer has it, who would have waited for it: one who reads it twice could wait for him.
void look_at_writer(const LockHolder& me, const LockNode& node) {
  std::uint64_t const chain = chain_with(me, node, Look::kWriter);
  if (HAMGAM_LIKELY(!is_new_chain(chain))) {
    return;
  }
  for (LockOrderReport& report : order().take_writer(me.held, node)) {
    report_order(std::move(report));
  }
  keep_chain(chain);
}

enum class Noted : std::uint8_t { kOurs, kUnknown, kAnothers };

// kUnknown: it had it before it was watched, or there was no memory to note it.
Noted remove_reader(LockNode& node, const LockHolder* who, std::int64_t inside) noexcept {
  std::lock_guard const guard(node.guard);
  auto const found = std::find_if(node.readers.rbegin(), node.readers.rend(),
                                  [who](const auto& reader) { return reader.who == who; });
  if (found == node.readers.rend()) {
    return static_cast<std::int64_t>(node.readers.size()) < inside ? Noted::kUnknown
                                                                   : Noted::kAnothers;
  }
  *found = node.readers.back();
  node.readers.pop_back();
  return Noted::kOurs;
}

// As remove_reader.
Noted remove_owner(LockNode& node, const LockHolder* who) noexcept {
  LockHolder* const owner = node.owner.load(kRelaxed);  // relaxed: the caller has the lock
  node.owner.store(nullptr, kRelaxed);  // relaxed: [watch.1], and before we wait again
  return owner == nullptr ? Noted::kUnknown : owner == who ? Noted::kOurs : Noted::kAnothers;
}

// Calls f(who, where) for those who have the lock, as far as they keep a waiter of this kind out.
template <class F>
void for_each_owner(LockNode& node, LockUse use, F f) {
  if (node.anybodys.load(kRelaxed)) {  // relaxed: a hint, sooner or later
    return;
  }
  OwnVector<LockNode::Reader> readers;
  LockSite taken;
  {
    std::lock_guard const guard(node.guard);
    if (use == LockUse::kDrain) {
      readers = node.readers;
    } else {
      taken = node.taken;
    }
  }
  for (const LockNode::Reader& reader : readers) {
    f(reader.who, reader.taken);
  }
  // relaxed: fenced, [watch.1]
  if (LockHolder* const owner = use == LockUse::kDrain ? nullptr : node.owner.load(kRelaxed)) {
    f(owner, taken);
  }
}

// A wait of whom, as it is at one moment. False: it waits for nothing.
bool look_at(LockHolder& who, LockCircle::Step& step) noexcept {
  std::uint64_t const wait = who.wait.load(kAcquire);  // [watch.2] acquire, pairs with [watch.3]
  if (wait % 2 == 0) {
    return false;
  }
  // relaxed throughout: the number is compared, and stands() looks again
  step = {&who, wait, who.lock.load(kRelaxed), 0, who.use.load(kRelaxed)};
  step.incarnation = step.lock->incarnation.load(kRelaxed);
  full_fence();  // [watch.1] seq_cst, pairs with itself
  return who.wait.load(kRelaxed) == wait;
}

// The circle that the caller's wait closes; empty: none.
LockCircle find_circle(LockHolder& me) {
  OwnVector<LockCircle::Step> found;  // in the order of their distance
  OwnVector<std::size_t> before;
  OwnSet<const LockHolder*> seen;
  LockCircle::Step step{};
  if (!look_at(me, step)) {
    return {};
  }
  found.push_back(step);
  before.push_back(0);
  bool closed = false;
  std::size_t at = 0;
  for (; at < found.size() && !closed; ++at) {
    LockCircle::Step const from = found[at];
    for_each_owner(*from.lock, from.use, [&](LockHolder* owner, const LockSite& /*taken*/) {
      closed = closed || owner == &me;
      if (!closed && seen.insert(owner).second && look_at(*owner, step)) {
        found.push_back(step);
        before.push_back(at);
      }
    });
  }
  LockCircle circle;
  if (closed) {
    for (std::size_t i = at - 1; i != 0; i = before[i]) {
      circle.steps.push_back(found[i]);
    }
    circle.steps.push_back(found[0]);
    std::reverse(circle.steps.begin(), circle.steps.end());
  }
  return circle;
}

const char* reason_of(const LockCircle::Step& step) noexcept {
  return step.use == LockUse::kShared  ? "sync.RWMutex.RLock"
         : step.use == LockUse::kAlone ? "sync.Mutex.Lock"
                                       : "sync.RWMutex.Lock";
}

}  // namespace

// Set before main; what other files' initialisers lock before that is not watched.
constinit atomic<std::uint32_t> locks_watched{0};

namespace {
[[maybe_unused]] const bool kAskedFor = debug_asks_for("locks") && (start_watching_locks(), true);
}

HAMGAM_NOINLINE void note_lock(const void* lock, LockUse use, bool marked, LockMark mark,
                               bool waits, const LockSite& site) noexcept {
  LockInside const inside;
  if (!inside) {
    return;
  }
  try {
    LockHolder* const me = make_holder_here();
    LockNode& node = *node_of(lock);
    if (HAMGAM_UNLIKELY(!marked)) {
      mark_lock(node, mark);
    }
    if (node.anybodys.load(kRelaxed)) {  // relaxed: a hint
      return;
    }
    bool const alone = use != LockUse::kShared;
    if (waits) {
      look_at_order(*me, node, alone);
      if (use == LockUse::kWrite) {
        look_at_writer(*me, node);
      }
    }
    me->held.push_back({&node, node.incarnation.load(kRelaxed),  // relaxed: ours
                        chain_with(*me, node, look_of(alone)), alone, waits, site});
    std::lock_guard const guard(node.guard);
    if (use == LockUse::kShared) {
      try {
        node.readers.push_back({me, site});
      } catch (const std::bad_alloc&) {
        forget_held(*me, node, false);
        throw;
      }
    } else {
      if (!node.readers.empty()) {            // others unlocked for them
        node.anybodys.store(true, kRelaxed);  // relaxed: sooner or later
      }
      node.taken = site;
      node.owner.store(me, kRelaxed);  // relaxed: [watch.1]
    }
    ++me->count;
  } catch (const std::bad_alloc&) {
    // Then it is not known of this lock that we have it.
  }
}

HAMGAM_NOINLINE void note_unlock(const void* lock, LockUse use, std::int64_t inside) noexcept {
  LockInside const first;
  if (!first) {
    return;
  }
  try {
    LockHolder* const me = holder_here();
    LockNode& node = *node_of(lock);
    if (node.anybodys.load(kRelaxed)) {  // relaxed: a hint
      return;
    }
    Noted const whose =
        use == LockUse::kShared ? remove_reader(node, me, inside) : remove_owner(node, me);
    if (HAMGAM_LIKELY(whose == Noted::kOurs)) {
      --me->count;
      forget_held(*me, node, use != LockUse::kShared);
    } else if (whose == Noted::kAnothers) {
      node.anybodys.store(true, kRelaxed);  // relaxed: sooner or later
    }
  } catch (const std::bad_alloc&) {
    // It stays noted as ours: no memory was to be had for the thread's first look.
  }
}

HAMGAM_NOINLINE void LockWait::begin(const void* lock, LockUse use, LockMark mark) noexcept {
  LockInside const inside;
  if (!inside) {
    return;
  }
  try {
    end();
    LockHolder* const me = make_holder_here();
    LockNode* const node = node_of(lock);
    if (use != LockUse::kAlone) {
      mark_lock(*node, mark);  // any change of an RWMutex's word keeps it
    }
    if (use == LockUse::kDrain) {
      node->owner.store(me, kRelaxed);  // relaxed: [watch.1]
    }
    if (goroutine_to_park() == nullptr) {
      const void* frames[kFrames];
      std::size_t const count = std::min(unwind_here(frames, kFrames), kFrames);
      std::lock_guard const guard(me->guard);
      me->frames.assign(frames, frames + count);
    }
    me->lock.store(node, kRelaxed);                      // relaxed: published by the number
    me->use.store(use, kRelaxed);                        // relaxed: published by the number
    std::uint64_t const last = me->wait.load(kRelaxed);  // relaxed: ours
    me->wait.store(last + 1, kRelease);  // [watch.3] release, pairs with [watch.2]: for what
    me_ = me;
    full_fence();  // [watch.1] seq_cst, pairs with itself
    if (!mark(lock, false)) {
      return;  // what is known is of another lock; who has this one looks when it waits itself
    }
    LockCircle circle = find_circle(*me);
    full_fence();  // [watch.1] seq_cst, pairs with itself
    if (!circle.steps.empty() && circle.stands()) {
      report_circle(std::move(circle));
    } else {
      look_at_order(*me, *node, use != LockUse::kShared);
    }
  } catch (const std::bad_alloc&) {
    // Then nobody looks.
  }
}

void LockWait::end() noexcept {
  if (me_ != nullptr) {
    std::uint64_t const wait = me_->wait.load(kRelaxed);  // relaxed: ours
    me_->wait.store(wait + 1, kRelease);                  // [watch.4] release, pairs with [watch.2]
    me_ = nullptr;
  }
}

bool LockCircle::stands() const noexcept {
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const Step& step = steps[i];
    const LockHolder* const next = steps[(i + 1) % steps.size()].who;
    bool keeps_out = false;
    for_each_owner(*step.lock, step.use, [&](const LockHolder* owner, const LockSite& /*taken*/) {
      keeps_out = keeps_out || owner == next;
    });
    // relaxed: the same lock as it was
    if (!keeps_out || step.lock->incarnation.load(kRelaxed) != step.incarnation) {
      return false;
    }
  }
  full_fence();  // [watch.1] seq_cst, pairs with itself
  return std::all_of(steps.begin(), steps.end(), [](const Step& step) {
    return step.who->wait.load(kRelaxed) == step.wait;  // relaxed: fenced
  });
}

std::vector<LockWaiterInfo> describe(const LockCircle& circle) {
  std::vector<LockWaiterInfo> all;
  for (std::size_t i = 0; i < circle.steps.size(); ++i) {
    const LockCircle::Step& step = circle.steps[i];
    const LockHolder* const next = circle.steps[(i + 1) % circle.steps.size()].who;
    LockWaiterInfo info{};
    info.goroutine = step.who->goroutine;
    info.thread = step.who->thread;
    info.reason = reason_of(step);
    info.lock = step.lock->lock;
    info.kept = step.use != LockUse::kDrain &&
                circle.steps[(i + 1) % circle.steps.size()].use == LockUse::kDrain &&
                circle.steps[(i + 1) % circle.steps.size()].lock == step.lock;
    info.has_readers = std::string_view(info.reason) != "sync.Mutex.Lock";
    for_each_owner(*step.lock, step.use, [&](const LockHolder* owner, const LockSite& taken) {
      if (owner == next) {
        info.taken = taken;
      }
    });
    OwnVector<const void*> frames;
    {
      std::lock_guard const guard(step.who->guard);
      frames = step.who->frames;
    }
    info.frames.assign(frames.begin(), frames.end());
    all.push_back(std::move(info));
  }
  return all;
}

namespace {

// For dumps: who have the lock, whatever others want it for.
std::size_t find_lock_owners(const void* lock, LockOwner* owners, std::size_t most) noexcept {
  TsanIgnore const ignore;
  LockNode* const node = known_node_of(lock);
  if (node == nullptr || node->anybodys.load(kRelaxed) ||  // relaxed: a hint
      !node->guard.try_lock_patiently()) {
    return 0;
  }
  std::lock_guard const guard(node->guard, std::adopt_lock);
  std::size_t count = 0;
  auto const add = [&](const LockHolder& who, const LockSite& taken, bool shares) {
    if (count < most) {
      // relaxed: a glance
      owners[count] = {who.goroutine, who.thread, shares, who.has_ended.load(kRelaxed), {}};
      std::copy(std::begin(taken.frames), std::end(taken.frames), owners[count].frames);
    }
    ++count;
  };
  for (const LockNode::Reader& reader : node->readers) {
    add(*reader.who, reader.taken, true);
  }
  // A writer that waits for the readers to leave has noted itself, too.
  const LockHolder* const owner = node->owner.load(kRelaxed);  // relaxed: a glance
  if (owner != nullptr && count == 0) {
    add(*owner, node->taken, false);
  }
  return count;
}
static_assert(LockSite::kMost == LockOwner::kFrames);

// In the child of a fork.
void forget_locks() noexcept {
  if (watching_locks()) {
    locks_watched.store(0, kRelaxed);  // relaxed: there is one thread
    set_find_owners(nullptr);
    forget_lock_nodes();
    forget_lock_reports();
  }
}

}  // namespace

void start_watching_locks() {
  static constinit SpinLock lock;
  static constinit bool forks = false;
  std::lock_guard const guard(lock);
  if (watching_locks()) {
    return;
  }
  prepare_lock_nodes();
  if (!std::exchange(forks, true)) {
    (void)std::atexit(&tell_of_locks_at_exit);
    (void)pthread_atfork(nullptr, nullptr, &forget_locks);
  }
  set_find_owners(&find_lock_owners);
  locks_watched.store(1, kRelease);  // [watch.5] release, pairs with [watch.6]: what is prepared
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
