// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// What is known of locks and of those who have them (lock_watch.h).

#include <cstddef>
#include <cstdint>

#include "base/own_containers.h"
#include "hamgam/detail/atomic.h"
#include "os/spin_lock.h"
#include "sync/lock_order.h"
#include "sync/lock_watch.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// What is known of the lock at an address; never freed, so anybody may look at it at any time.
struct LockNode : InOwnMemory {
  explicit LockNode(const void* at) noexcept : lock(at) {}

  struct Reader {
    LockHolder* who;
    LockSite taken;
  };

  const void* const lock;
  atomic<LockHolder*> owner{nullptr};    // alone, or the writer that keeps others out
  atomic<std::uint64_t> incarnation{0};  // of the locks that were here one after the other
  atomic<bool> anybodys{false};          // was unlocked by another than who had it
  SpinLock guard;                        // of what follows
  LockSite taken;                        // by the owner
  OwnVector<Reader> readers;             // who have it to read
  LockNode* next_of_all = nullptr;       // set before it is published
};

// A goroutine or thread that has, or had, locks. Never freed. Used again for another one only if
// the former had no lock at its end.
struct LockHolder : InOwnMemory {
  atomic<std::uint64_t> wait{0};         // number of its wait; odd: it waits,
  atomic<LockNode*> lock{nullptr};       // for that,
  atomic<LockUse> use{LockUse::kAlone};  // so
  std::uint64_t goroutine = 0;           // 0: a plain thread,
  int thread = 0;                        // with this number,
  const void* stack_bottom = nullptr;
  std::size_t stack_size = 0;
  atomic<bool> has_ended{false};      // and had locks
  OwnVector<HeldLock> held;           // its own
  std::size_t count = 0;              // of its locks
  SpinLock guard;                     // of what follows
  OwnVector<const void*> frames;      // where a thread waits
  LockHolder* next = nullptr;         // that is free
  LockHolder* next_of_all = nullptr;  // set before it is published
};

// What is done while one lives is not watched. It must not live over a park. False: do nothing, one
// lives already, or locks are not watched.
class LockInside {
 public:
  HAMGAM_NOINLINE LockInside() noexcept;
  HAMGAM_NOINLINE ~LockInside();
  LockInside(const LockInside&) = delete;
  LockInside& operator=(const LockInside&) = delete;
  explicit operator bool() const noexcept { return first_; }

 private:
  TsanIgnore const ignore_;  // what follows is under our own locks
  bool const first_;
};

// The caller's; null: it has none yet. The second throws std::bad_alloc.
LockHolder* holder_here() noexcept;
LockHolder* make_holder_here();

// That of the lock at the address. Throws std::bad_alloc.
LockNode* node_of(const void* lock);

// The same, null if nothing is known of it; for dumps, also in a process that dies: it does not
// wait for ever for who is at work there.
LockNode* known_node_of(const void* lock) noexcept;

// The lock, which the caller has, or waits for, is another one than what was known there, unless it
// has the mark by now. Throws std::bad_alloc.
void mark_lock(LockNode& node, LockMark mark);

LockOrder& order() noexcept;

// All that there ever were; null: none.
LockNode* first_node() noexcept;
LockHolder* first_holder() noexcept;

// When watching begins: nothing is known yet. forget: in the child of a fork.
void prepare_lock_nodes();  // throws std::bad_alloc
void forget_lock_nodes() noexcept;

// Has the thread, which has called node_of(), seen that sequence of locks?
bool is_new_chain(std::uint64_t chain) noexcept;
void keep_chain(std::uint64_t chain) noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
