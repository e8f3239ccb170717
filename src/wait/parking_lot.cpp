// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "wait/parking_lot.h"

#include <cstddef>
#include <utility>

#include "sched/exit.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr int kBucketBits = 10;
constinit Bucket g_buckets[std::size_t{1} << kBucketBits];

bool before(const void* a, const void* b) noexcept { return std::less<>()(a, b); }

const void* address_of(const Waiter& waiter) noexcept {
  return waiter.address.load(kRelaxed);  // relaxed: under the bucket's lock
}

}  // namespace

Bucket& bucket_of(const void* address) noexcept {
  auto const key = reinterpret_cast<std::uintptr_t>(address) >> 2;
  return g_buckets[key * 0x9E3779B97F4A7C15U >> (64 - kBucketBits)];
}

Waiter* Bucket::first(const void* address) const noexcept {
  Waiter* node = root_;
  while (node != nullptr && address_of(*node) != address) {
    node = before(address, address_of(*node)) ? node->left : node->right;
  }
  return node;
}

void Bucket::push_back(Waiter& waiter) noexcept {
  waiter.queued = true;
  waiter.outcome = Wake::kNone;
  waiter.next = nullptr;
  if (Waiter* head = first(address_of(waiter))) {
    waiter.ahead = head->last;
    head->last->next = &waiter;
    head->last = &waiter;
    if (profiling_waits()) {
      count(waiter, *head);
    }
  } else {
    insert(waiter);
  }
}

void Bucket::push_front(Waiter& waiter) noexcept {
  waiter.queued = true;
  waiter.outcome = Wake::kNone;
  if (Waiter* head = first(address_of(waiter))) {
    waiter.ahead = nullptr;
    waiter.next = head;
    waiter.last = head->last;
    head->ahead = &waiter;
    replace(*head, waiter);
    if (profiling_waits()) {
      count(waiter, waiter);
    }
  } else {
    waiter.next = nullptr;
    insert(waiter);
  }
}

Waiter* Bucket::pop(const void* address) noexcept {
  Waiter* head = first(address);
  if (head != nullptr) {
    remove(*head);
  }
  return head;
}

Waiter* Bucket::pop_all(const void* address) noexcept {
  Waiter* head = first(address);
  if (head != nullptr) {
    erase(*head);
    for (Waiter* waiter = head; waiter != nullptr; waiter = waiter->next) {
      waiter->queued = false;
      waiter->counted = false;
    }
  }
  return head;
}

void Bucket::remove(Waiter& waiter) noexcept {
  if (HAMGAM_UNLIKELY(waiter.counted)) {
    count_no_more(waiter);
  }
  waiter.queued = false;
  Waiter* const heir = waiter.next;
  if (heir != nullptr) {
    heir->ahead = waiter.ahead;
  }
  if (waiter.ahead != nullptr) {
    waiter.ahead->next = heir;
    if (heir == nullptr) {
      first(address_of(waiter))->last = waiter.ahead;
    }
  } else if (heir != nullptr) {
    heir->last = waiter.last;
    replace(waiter, *heir);
  } else {
    erase(waiter);
  }
}

void Bucket::count(Waiter& waiter, Waiter& head) noexcept {
  head.contention.change(1, now());
  waiter.counted = true;
}

void Bucket::count_no_more(Waiter& waiter) noexcept {
  waiter.counted = false;
  Waiter& head = waiter.ahead == nullptr ? waiter : *first(address_of(waiter));
  head.contention.change(-1, now());
}

Nanos Bucket::take_delay(const void* address) noexcept {
  Waiter* const head = first(address);
  if (head == nullptr) {
    return 0;
  }
  head->contention.change(0, now());
  return head->contention.take();
}

Wake Bucket::sleep(Waiter& waiter, const char* reason) noexcept {
  if (waiter.interrupted != Wake::kNone) {
    remove(waiter);
    unlock();
    return waiter.interrupted;
  }
  ProfiledWait::in(reason, [&]() noexcept {
    if (waiter.goroutine != nullptr) {
      park([](void* bucket) noexcept { static_cast<Bucket*>(bucket)->unlock(); }, this, reason,
           address_of(waiter));
    } else {
      waiter.thread->begin_sleep();                    // nobody wakes it before the unlock
      const void* const address = address_of(waiter);  // it may be moved after the unlock
      unlock();
      (void)sleep_thread(waiter, reason, address);
    }
  });
  return waiter.outcome;
}

// A new node for an address that has none.
void Bucket::insert(Waiter& waiter) noexcept {
  seed_ = seed_ * 1664525U + 1013904223U;
  waiter.priority = seed_;
  waiter.ahead = nullptr;
  waiter.last = &waiter;
  waiter.left = nullptr;
  waiter.right = nullptr;
  waiter.parent = nullptr;
  Waiter** link = &root_;
  while (*link != nullptr) {
    waiter.parent = *link;
    link = before(address_of(waiter), address_of(**link)) ? &(*link)->left : &(*link)->right;
  }
  *link = &waiter;
  waiter.contention = {};
  if (profiling_waits()) {
    count(waiter, waiter);
  }
  while (waiter.parent != nullptr && waiter.parent->priority > waiter.priority) {
    rotate_up(waiter);
  }
}

// Makes the treap's pointer down to `former` point to `other`, which may be null.
void Bucket::relink(Waiter& former, Waiter* other) noexcept {
  if (other != nullptr) {
    other->parent = former.parent;
  }
  if (former.parent == nullptr) {
    root_ = other;
  } else if (former.parent->left == &former) {
    former.parent->left = other;
  } else {
    former.parent->right = other;
  }
}

// Puts the heir, which is not in the treap, in the former's place.
void Bucket::replace(Waiter& former, Waiter& heir) noexcept {
  heir.priority = former.priority;
  heir.contention = former.contention;
  heir.left = former.left;
  heir.right = former.right;
  if (heir.left != nullptr) {
    heir.left->parent = &heir;
  }
  if (heir.right != nullptr) {
    heir.right->parent = &heir;
  }
  relink(former, &heir);
}

void Bucket::erase(Waiter& node) noexcept {
  while (node.left != nullptr && node.right != nullptr) {
    rotate_up(node.left->priority < node.right->priority ? *node.left : *node.right);
  }
  relink(node, node.left != nullptr ? node.left : node.right);
}

void Bucket::rotate_up(Waiter& child) noexcept {
  Waiter& parent = *child.parent;
  relink(parent, &child);
  if (parent.left == &child) {
    parent.left = std::exchange(child.right, &parent);
    if (parent.left != nullptr) {
      parent.left->parent = &parent;
    }
  } else {
    parent.right = std::exchange(child.left, &parent);
    if (parent.right != nullptr) {
      parent.right->parent = &parent;
    }
  }
  parent.parent = &child;
}

void wake_all(Waiter* first) noexcept {
  while (first != nullptr) {
    Waiter* const next = first->next;
    wake(*first);
    first = next;
  }
}

namespace {

constexpr int kDiscards = 16;  // under one lock: each takes about a microsecond

// The stack is not in use: who is queued and not awake was off it when the bucket was unlocked.
bool look_at_stacks(Waiter* node, int& left) noexcept {
  bool more = false;
  for (; node != nullptr; node = node->right) {
    if (node->goroutine != nullptr && !node->awake && node->looks < 2) {
      if (node->looks == 1 && left > 0) {
        --left;
        node->looks = 2;
        discard_unused_stack(*node->goroutine);
      } else {
        node->looks = 1;
        more = true;
      }
    }
    more |= look_at_stacks(node->left, left);
  }
  return more;
}

}  // namespace

bool discard_unused_stacks() noexcept {
  bool more = false;
  for (Bucket& bucket : g_buckets) {
    if (exiting()) {
      return false;
    }
    int left = kDiscards;
    bucket.lock();
    more |= look_at_stacks(bucket.root_, left);
    bucket.unlock();
  }
  return more;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
