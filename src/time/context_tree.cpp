// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "time/context_node.h"

#include <mutex>
#include <utility>

#include "base/fatal.h"
#include "hamgam/detail/goroutine.h"
#include "hamgam/go.h"

// How nodes are cancelled and how they go. Both walk the tree by its own links, not by recursion.

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

// Under the lock of node.up.
void unlink(CancelNode& node) noexcept {
  (node.prev != nullptr ? node.prev->next : node.up->children) = node.next;
  if (node.next != nullptr) {
    node.next->prev = node.prev;
  }
  node.prev = nullptr;
  node.next = nullptr;
  node.linked = false;
}

// Under the lock of node.up.
void push(CancelNode& node) noexcept {
  CancelNode*& first = node.up->children;
  node.prev = nullptr;
  node.next = first;
  if (first != nullptr) {
    first->prev = &node;
  }
  first = &node;
  node.linked = true;
}

// Under the lock of `node`: takes a child off the list, with a reference. A child whose last
// reference was dropped is about to look at `node` itself (let_go).
CancelNode* take_child(CancelNode& node) noexcept {
  while (CancelNode* child = node.children) {
    bool const held = child->owned || try_hold(*child);
    child->owned = false;
    unlink(*child);
    if (held) {
      return child;
    }
  }
  return nullptr;
}

// Under the lock of `node`, which is open. Who sees `done` closed must see the error, and the other
// way round: so the error is there first, marked as kClosing, which err() looks through.
void mark(CancelNode& node, ContextError code, const std::exception_ptr& cause) noexcept {
  node.cause = cause;
  tsan_release(&node.error);
  auto const error = static_cast<std::uint32_t>(code);
  // relaxed: under the lock
  if ((node.made.load(kRelaxed) & CancelNode::kDone) != 0) {
    node.error.store(error | kClosing,
                     kRelease);  // [ctx.8] release, pairs with [ctx.1] and [ctx.3]
    TsanHide const hide;         // nobody else can close it
    node.done.close();
  }
  // [ctx.2] release, pairs with [ctx.1], [ctx.3]: the cause, and what was before the cancel
  node.error.store(error, kRelease);
}

// For who passes it on, with all that was before it.
ContextError code_of(const CancelNode& node) noexcept {
  // [ctx.3] acquire, pairs with [ctx.2]
  std::uint32_t const error = node.error.load(kAcquire);
  tsan_acquire(&node.error);
  return static_cast<ContextError>(error & ~kClosing);
}

bool is_open(const CancelNode& node) noexcept {
  return node.error.load(kAcquire) == 0;  // [ctx.4] acquire, pairs with [ctx.2]: the cause
}

// May anybody see the node cancelled, now that nobody holds it?
bool is_observed(const CancelNode& node) noexcept {
  // relaxed: whoever set it has dropped its reference before us
  std::uint32_t const made = node.made.load(kRelaxed);
  return node.children != nullptr || (made & CancelNode::kStop) != 0 ||
         ((made & CancelNode::kDone) != 0 && chan_is_shared(ChanAccess::core<Unit>(node.done)));
}

// Has `up` been cancelled?
bool was_taken_off(const CancelNode& node) noexcept {
  if (node.up == nullptr) {
    return false;
  }
  std::lock_guard const guard(node.up->lock);
  return !node.linked;
}

// The timer is to hold our reference. False if the node was cancelled, or there is no memory for
// it.
bool give_to_timer(DeadlineNode& node) noexcept {
  std::lock_guard const guard(node.lock);
  if (!is_open(node)) {
    return false;
  }
  node.timer_holds = true;
  try {
    node.arm();
  } catch (...) {
    node.timer_holds = false;
  }
  return node.timer_holds;
}

// The last reference to the node was dropped. True if the node may be deleted; false if the list or
// the timer holds it now. What must be released besides is in `parent`.
bool let_go(CancelNode& node, ContextNode*& parent) noexcept {
  CancelNode* const up = node.up;
  if (node.has_timer) {
    auto& timed = static_cast<DeadlineNode&>(node);
    bool const pending = remove_timer(timed);
    node.has_timer = false;
    if (is_open(node) && is_observed(node)) {
      node.refs.store(1,
                      kRelease);  // [ctx.11] release, pairs with [ctx.12]: what we did to the node
      parent = nullptr;           // it keeps its parent
      // From here on it is as if we held the node: whoever cancels `up` may hold it, too.
      if (was_taken_off(node)) {  // perhaps when nobody held the node
        cancel_tree(node, code_of(*up), up->cause);
      } else if (!pending) {  // it fired when nobody held the node
        cancel_tree(node, ContextError::deadline_exceeded, nullptr);
      } else if (give_to_timer(timed)) {
        return false;
      }
      parent = &node;  // to be released once more
      return false;
    }
  }
  // A cancelled node has left the list before its last reference went, and `up` may be gone.
  if (up == nullptr || !is_open(node)) {
    return true;
  }
  up->lock.lock();
  bool const linked = node.linked;
  if (linked && is_open(node) && is_observed(node)) {
    node.refs.store(1, kRelaxed);  // relaxed: under the lock
    node.owned = true;
    node.parent = nullptr;
    up->lock.unlock();
    return false;
  }
  if (linked) {
    unlink(node);
  }
  up->lock.unlock();
  if (!linked && is_open(node) && is_observed(node)) {
    // `up` was cancelled meanwhile and could not hold us.
    node.refs.store(1, kRelaxed);  // relaxed: ours alone
    node.up = nullptr;
    cancel_tree(node, code_of(*up), up->cause);
  }
  return true;
}

}  // namespace

ContextNode::~ContextNode() = default;

bool try_hold(ContextNode& node) noexcept {
  std::uint32_t refs = node.refs.load(kRelaxed);  // relaxed: the CAS checks it
  do {
    if (refs == 0) {
      return false;
    }
    // [ctx.12] acquire, pairs with [ctx.11]
  } while (!node.refs.compare_exchange_weak(refs, refs + 1, kAcquire, kRelaxed));
  return true;
}

namespace {

// Drops a reference. True if it was the last.
bool drop(ContextNode& node) noexcept {
  tsan_release(&node);
  bool const last = node.refs.fetch_sub(1, kAcqRel) == 1;  // [ctx.5] acq_rel, pairs with itself
  if (last) {
    tsan_acquire(&node);
  }
  return last;
}

}  // namespace

void release_context(ContextNode* node) noexcept {
  CancelNode* orphans = nullptr;  // that lost what could cancel them; linked by next
  while (node != nullptr) {
    ContextNode* parent = nullptr;
    if (drop(*node)) {
      parent = node->parent;
      CancelNode* const self = node->canceller == node ? node->canceller : nullptr;
      if (self == nullptr || let_go(*self, parent)) {
        if (self != nullptr) {
          while (CancelNode* orphan = self->children) {
            unlink(*orphan);
            orphan->up = nullptr;
            orphan->owned = false;
            orphan->next = orphans;
            orphans = orphan;
          }
        }
        delete node;
      }
    }
    node = parent;
    if (node == nullptr && orphans != nullptr) {
      node = orphans;
      orphans = orphans->next;
    }
  }
}

bool link(CancelNode& child) noexcept {
  CancelNode* const up = child.up;
  if (up == nullptr) {
    return false;
  }
  if (is_open(*up)) {
    std::lock_guard const guard(up->lock);
    if (is_open(*up)) {
      push(child);
      return true;
    }
  }
  cancel_tree(child, code_of(*up), up->cause);
  return false;
}

void detach(CancelNode& node) noexcept {
  CancelNode* const up = node.up;
  if (up == nullptr) {
    return;
  }
  up->lock.lock();
  bool held = false;
  if (node.linked) {
    held = node.owned;
    node.owned = false;
    unlink(node);
  }
  up->lock.unlock();
  if (held) {
    release_context(&node);
  }
}

void cancel_tree(CancelNode& root, ContextError code, const std::exception_ptr& cause) noexcept {
  root.lock.lock();
  if (!is_open(root)) {
    root.lock.unlock();
    return;
  }
  mark(root, code, cause);
  // Down with the locks of the whole path held, up by `up`.
  CancelNode* visited = nullptr;  // cancelled here
  CancelNode* passed = nullptr;   // by others: they finish it
  for (CancelNode* at = &root;;) {
    if (CancelNode* child = take_child(*at)) {
      child->lock.lock();
      bool const open = is_open(*child);
      CancelNode*& list = open ? visited : passed;
      child->next_visited = list;
      list = child;
      if (open) {
        mark(*child, code, cause);
        at = child;
      } else {
        child->lock.unlock();
      }
      continue;
    }
    CancelNode* const above = at->up;
    at->lock.unlock();
    if (at == &root) {
      break;
    }
    at = above;
  }
  // From here on there are no locks.
  auto const finish = [](CancelNode& node) {
    // relaxed: what is made later sees the error
    if ((node.made.load(kRelaxed) & CancelNode::kStop) != 0) {
      request_stop(node.stop);
    }
    node.cancelled();
  };
  detach(root);
  // A stop callback may drop the caller's reference: it may destroy the CancelFunc that is called.
  // relaxed: as in finish
  bool const keeps = (root.made.load(kRelaxed) & CancelNode::kStop) != 0;
  ContextRef keep;
  if (keeps) {
    root.refs.fetch_add(1, kRelaxed);  // relaxed: the caller holds it
    keep = ContextRef(&root);
  }
  finish(root);
  while (visited != nullptr) {
    CancelNode* const node = visited;
    visited = node->next_visited;
    finish(*node);
    release_context(node);
  }
  while (passed != nullptr) {
    release_context(std::exchange(passed, passed->next_visited));
  }
}

DeadlineNode::DeadlineNode(Nanos when) noexcept {
  deadline = when;
  fire = [](Timer& timer) noexcept {
    // In a goroutine: here it may not block, and a cancel runs user's code.
    GoroutineHead* const goroutine = try_new_goroutine();
    if (goroutine == nullptr) {
      add_timer(timer, now() + kRetry);
      return;
    }
    auto& node = static_cast<DeadlineNode&>(timer);
    if (!try_hold(node)) {
      discard_goroutine(goroutine);
      return;
    }
    auto run = [](void* self) {
      ContextRef const held(static_cast<DeadlineNode*>(self));
      cancel_tree(*held->canceller, ContextError::deadline_exceeded, nullptr);
    };
    start_goroutine(goroutine, run, &node, nullptr, nullptr);
  };
}

void DeadlineNode::arm() {
  if (deadline < kForever - 1) {
    has_timer = true;
    try {
      add_timer(*this, deadline);  // it may fire, and the node be gone, before this returns
    } catch (...) {
      has_timer = false;
      throw;
    }
  }
}

void DeadlineNode::cancelled() noexcept {
  if (has_timer) {
    remove_timer(*this);
    has_timer = false;
  }
  if (timer_holds) {
    timer_holds = false;
    release_context(this);
  }
}

void AfterFuncNode::cancelled() noexcept {
  GoroutineHead* const goroutine = try_new_goroutine();
  if (goroutine == nullptr) {
    fatal("out of memory: no goroutine for a function that runs after a context");
  }
  auto run = [](void* raw) {
    std::unique_ptr<Job> const f(static_cast<Job*>(raw));
    tsan_acquire(f.get());
    f->run();
  };
  start_goroutine(goroutine, run, job.release(), nullptr, nullptr);
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
