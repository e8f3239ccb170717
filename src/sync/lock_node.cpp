// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sync/lock_node.h"

#include <mutex>
#include <new>
#include <utility>

#include "fiber/stack.h"
#include "fiber/unwind.h"
#include "os/thread.h"
#include "sched/park.h"
#include "sched/scheduler.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

// Whom a thread finds without a lock, nodes stay for ever; and which sequences of locks it has
// seen.
struct NodeCache : InOwnMemory {
  static constexpr std::size_t kSize = 256;
  LockNode* nodes[kSize] = {};
  std::uint64_t chains[kSize] = {};
  static std::size_t place(const void* lock) noexcept {
    return (reinterpret_cast<std::uintptr_t>(lock) >> 2) * 0x9E3779B97F4A7C15U >> 56;
  }
};

// Thread safety: its own lock.
class Registry : public InOwnMemory {
 public:
  LockNode* node(const void* lock) {
    std::lock_guard const guard(lock_);
    LockNode*& place = nodes_[lock];
    if (place == nullptr) {
      place = new LockNode(lock);
      push(all_nodes_, place);
    }
    return place;
  }

  LockNode* known(const void* lock) noexcept {
    if (!lock_.try_lock_patiently()) {
      return nullptr;
    }
    std::lock_guard const guard(lock_, std::adopt_lock);
    auto const found = nodes_.find(lock);
    return found != nodes_.end() ? found->second : nullptr;
  }

  LockHolder* take_holder() {
    {
      std::lock_guard const guard(lock_);
      if (LockHolder* const holder = free_) {
        free_ = holder->next;
        return holder;
      }
    }
    auto* const holder = new LockHolder;
    std::lock_guard const guard(lock_);
    push(all_holders_, holder);
    return holder;
  }

  void give(LockHolder* holder) noexcept {
    if (holder->count != 0) {
      holder->has_ended.store(true, kRelaxed);  // relaxed: for people
      return;                                   // it may still be who has them
    }
    holder->held.clear();
    std::lock_guard const guard(lock_);
    holder->next = free_;
    free_ = holder;
  }

  template <class F>
  void mark(F f) {
    std::lock_guard const guard(marking_);
    f();
  }

  LockOrder& order() noexcept { return order_; }
  // [watch.7] acquire, pairs with [watch.8]: what they are
  LockNode* first_node() const noexcept { return all_nodes_.load(kAcquire); }
  // [watch.7] acquire, pairs with [watch.8]: what they are
  LockHolder* first_holder() const noexcept { return all_holders_.load(kAcquire); }

 private:
  // Under the lock.
  template <class T>
  static void push(atomic<T*>& all, T* one) noexcept {
    one->next_of_all = all.load(kRelaxed);  // relaxed: under the lock
    all.store(one, kRelease);               // [watch.8] release, pairs with [watch.7]
  }

  atomic<LockNode*> all_nodes_{nullptr};
  atomic<LockHolder*> all_holders_{nullptr};
  LockOrder order_;
  SpinLock lock_;
  SpinLock marking_;
  OwnMap<const void*, LockNode*> nodes_;
  LockHolder* free_ = nullptr;
};

// Null until locks are watched; never freed, for those that lock while static objects die.
constinit atomic<Registry*> g_registry{nullptr};

Registry& registry() noexcept {
  return *g_registry.load(kRelaxed);  // relaxed: [watch.6]
}

thread_local constinit LockHolder* t_holder = nullptr;
thread_local constinit NodeCache* t_cache = nullptr;
thread_local constinit bool t_ended = false;  // or about to: nothing is noted any more
thread_local constinit bool t_inside = false;

struct ThreadEnd {
  ~ThreadEnd() {
    t_ended = true;
    if (t_holder != nullptr) {
      registry().give(std::exchange(t_holder, nullptr));
    }
    delete std::exchange(t_cache, nullptr);
  }
  void touch() const noexcept {}
};
thread_local ThreadEnd t_end;

void end_holder(void* holder) noexcept { registry().give(static_cast<LockHolder*>(holder)); }

HAMGAM_NOINLINE LockHolder* new_holder(Goroutine* g) {
  LockHolder* const holder = registry().take_holder();
  if (g != nullptr) {
    holder->goroutine = g->id.load(kRelaxed);  // relaxed: ours
    holder->stack_bottom = g->stack->bottom;
    holder->stack_size = g->stack->size;
    if (!set_held(*g, holder, &end_holder)) {
      registry().give(holder);
      throw std::bad_alloc();
    }
  } else {
    holder->goroutine = 0;
    holder->thread = thread_id();
    find_thread_stack(holder->stack_bottom, holder->stack_size);
    t_holder = holder;
    t_end.touch();
  }
  return holder;
}

HAMGAM_NOINLINE LockNode* find_node(const void* lock) {
  if (t_cache == nullptr) {
    t_cache = new NodeCache;
    t_end.touch();
  }
  LockNode* const node = registry().node(lock);
  t_cache->nodes[NodeCache::place(lock)] = node;
  return node;
}

// Another lock is at the address now.
void renew(LockNode& node) {
  {
    std::lock_guard const guard(node.guard);
    // relaxed throughout: under the registry's lock for marks, and who looks has a fence, [watch.1]
    node.incarnation.store(node.incarnation.load(kRelaxed) + 1, kRelaxed);
    node.owner.store(nullptr, kRelaxed);
    node.anybodys.store(false, kRelaxed);
    node.readers.clear();
  }
  order().forget(node);  // after that, so that nobody adds to it what is of the former one
}

const LockHolder* holder_of_site() noexcept {
  LockInside const inside;
  try {
    return inside ? make_holder_here() : nullptr;
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

}  // namespace

LockInside::LockInside() noexcept : first_(!t_inside && !t_ended && are_locks_watched()) {
  if (first_) {
    t_inside = true;
  }
}

LockInside::~LockInside() {
  if (first_) {
    t_inside = false;
  }
}

LockOrder& order() noexcept { return registry().order(); }

LockNode* first_node() noexcept { return registry().first_node(); }
LockHolder* first_holder() noexcept { return registry().first_holder(); }

void prepare_lock_nodes() {
  g_registry.store(new Registry, kRelaxed);  // relaxed: [watch.5] publishes it
}

void forget_lock_nodes() noexcept {
  t_holder = nullptr;
  delete std::exchange(t_cache, nullptr);
}

LockHolder* holder_here() noexcept {
  if (const Goroutine* g = current_goroutine()) {
    return g->extras != nullptr ? static_cast<LockHolder*>(g->extras->held) : nullptr;
  }
  return t_holder;
}

LockHolder* make_holder_here() {
  LockHolder* const holder = holder_here();
  return HAMGAM_LIKELY(holder != nullptr) ? holder : new_holder(current_goroutine());
}

LockNode* node_of(const void* lock) {
  if (HAMGAM_LIKELY(t_cache != nullptr)) {
    LockNode* const node = t_cache->nodes[NodeCache::place(lock)];
    if (HAMGAM_LIKELY(node != nullptr && node->lock == lock)) {
      return node;
    }
  }
  return find_node(lock);
}

LockNode* known_node_of(const void* lock) noexcept { return registry().known(lock); }

void mark_lock(LockNode& node, LockMark mark) {
  registry().mark([&] {
    if (!mark(node.lock, false)) {  // two readers may be here
      renew(node);
      (void)mark(node.lock, true);
    }
  });
}

bool is_new_chain(std::uint64_t chain) noexcept { return t_cache->chains[chain >> 56] != chain; }

void keep_chain(std::uint64_t chain) noexcept { t_cache->chains[chain >> 56] = chain; }

LockSite lock_site(const void* caller, void* frame) noexcept {
  LockSite site;
  site.frames[0] = caller;
  const LockHolder* const me = holder_of_site();
  if (me != nullptr && me->stack_size != 0) {  // else the system did not tell where its stack is
    // Where the lock's own functions are not inlined, the caller is one of them, and these keep
    // their frame pointers.
    (void)follow_frames(frame, me->stack_bottom, me->stack_size, site.frames + 1,
                        LockSite::kMost - 1);
  }
  return site;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
