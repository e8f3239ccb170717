// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// In which orders locks are taken while others are held: an order that could deadlock is told of
// when it is first seen, whether or not it did.
//
// A graph of locks: an edge from one to another that was taken while the first was held, by one who
// would have waited for it (tries, and waits with a limit, give no edge to what they take). An edge
// that closes a circle is an order that could deadlock, unless
//   * one and the same other lock is held, alone, at all of its edges (a gate): then only one can
//     be in it at a time;
//   * at some lock of the circle both only read, and no writer ever took it who would have waited.
// A lock that is read again by who reads it is a circle of one edge, in which a writer is the other
// one: a gate is what was held before the first read, and by all writers.
// There is an edge from the last one that is held, to which those before have ways; and from those
// taken by tries since. Edges are of locks, not of classes of them, so nothing need be annotated; a
// lock that was made anew has none. The stack is looked at only when an edge is new. Sequences of
// held locks that were seen already are known by their hash to each thread, so usually nothing is
// asked of the graph.
//
// Thread safety: its own lock.

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/own_containers.h"
#include "os/spin_lock.h"
#include "sync/lock_watch.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// One that is held, and the hash of the sequence that it ends.
struct HeldLock {
  LockNode* node;
  std::uint64_t incarnation;
  std::uint64_t chain;
  bool alone;
  bool waited;  // for ever, if it had not been free
  LockSite taken;
};

// "It was taken, there, while the other was held, which had been taken there."
struct LockOrderStep {
  std::uint64_t goroutine = 0;  // 0: a plain thread,
  int thread = 0;               // with this number
  const void* first = nullptr;
  LockSite first_taken;
  const void* second = nullptr;
  OwnVector<const void*> frames;
};

struct LockOrderReport {
  OwnVector<LockOrderStep> steps;  // none: nothing to tell
};

class LockOrder {
 public:
  // `node` is about to be taken by one who holds these. Throws std::bad_alloc.
  LockOrderReport take(const OwnVector<HeldLock>& held, const LockNode& node, bool alone,
                       const LockOrderStep& who);

  // `node` was taken to be written by one who holds these, and would have waited for it: what only
  // readers had done with it could deadlock now. Throws std::bad_alloc.
  OwnVector<LockOrderReport> take_writer(const OwnVector<HeldLock>& held, const LockNode& node);

  // All that stand. Throws std::bad_alloc.
  OwnVector<LockOrderStep> steps();

  // It is another one now.
  void forget(const LockNode& node);

 private:
  using Gates = OwnVector<const LockNode*>;
  struct Edge : InOwnMemory {
    const LockNode* from;
    const LockNode* to;
    std::uint64_t to_incarnation;
    bool from_alone;
    bool to_alone;
    bool told;
    Gates gates;  // held alone each time
    LockOrderStep step;
  };
  struct Writers {
    std::uint64_t incarnation = 0;
    Gates gates;  // held alone each time
    bool looked_at = false;
  };

  static bool keep_common(Gates& gates, const Gates& others) noexcept;
  static Gates gates_of(const OwnVector<HeldLock>& held, std::size_t count, const LockNode& node);

  static bool stands(const Edge& edge) noexcept;
  bool find_path(const LockNode& from, const LockNode& to, OwnVector<const Edge*>& path);
  bool could_deadlock(const OwnVector<const Edge*>& circle) const;
  LockOrderReport report_of(Edge& edge, const OwnVector<const Edge*>& circle);
  void look(Edge& edge, LockOrderReport& report);
  void look_at_circles_of_readers(const LockNode& node, OwnVector<LockOrderReport>& reports);
  Edge* find(const LockNode& from, const LockNode& to);
  [[nodiscard]] const Writers* find_writers(const LockNode& node) const;

  SpinLock lock_;
  using Edges = OwnMap<const LockNode*, std::unique_ptr<Edge>>;  // by where they lead
  OwnMap<const LockNode*, Edges> out_;
  OwnMap<const LockNode*, Writers> writers_;
  OwnSet<std::uint64_t> told_;  // by their stacks
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
