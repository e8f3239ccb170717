// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// The tree behind Context.
//
// References go upwards: a node holds its parent, so what cancels a node (`up`, the nearest
// ancestor that can be cancelled) outlives it. Downwards there is a list without references: a node
// that nobody holds leaves it and goes. Two kinds of node are held by the list instead (`owned`),
// and hold nothing upwards:
//   * what after_func registered;
//   * an orphan: a node that nobody holds any more, but whose cancellation somebody may still see,
//     because its done channel is held or its stop_token was asked for. One with a deadline is held
//     by its timer.
// So there is no cycle, and what can never be cancelled any more goes.
//
// Who may touch what:
//   error, cause, made, done, stop   written under `lock`; cause, done and stop are constant once
//                                    error or their bit of made says that they are set
//   children                         under `lock`
//   linked, owned, prev, next        under up->lock
//   next_visited                     whoever took the node off its list
//   timer_holds                      whoever removed the timer, or runs it
// Invariants: (1) error changes once. (2) Locks are taken from parent to child. (3) No reference is
// dropped and no user's code runs under a lock. (4) The lock of a node that was cancelled is free
// only once all that derives from it is cancelled: so a second cancel returns no earlier either.
//
// Rejected: one lock for a tree (all requests of a server would meet there), a recursive cancel
// (the depth of the tree is the user's, the stack is small), a goroutine per child that waits for
// its parent.

#include <exception>
#include <stop_token>
#include <utility>

#include "hamgam/chan.h"
#include "hamgam/context.h"
#include "hamgam/detail/inner_mutex.h"
#include "os/clock.h"
#include "sched/park.h"
#include "wait/stop.h"

namespace hamgam::inline HAMGAM_ABI::detail {

struct CancelNode : ContextNode {
  enum Made : std::uint32_t { kDone = 1, kStop = 2 };

  CancelNode() noexcept {
    canceller = this;
    ContextNode::error = &error;
  }
  ~CancelNode() override {
    if (stop.stop_possible()) {
      drop_stop(std::move(stop));
    }
  }

  // After the node was cancelled, by the canceller, without locks.
  virtual void cancelled() noexcept {}
  // Before each call of its CancelFunc does anything; only if `tells_calls`.
  virtual void cancel_called() noexcept {}

  InnerMutex lock;
  atomic<std::uint32_t> error{0};
  atomic<std::uint32_t> made{0};
  bool linked = false;
  bool owned = false;
  bool timer_holds = false;
  bool has_timer = false;
  bool tells_calls = false;  // constant
  Nanos deadline = kForever;
  CancelNode* up = nullptr;
  CancelNode* prev = nullptr;
  CancelNode* next = nullptr;
  CancelNode* children = nullptr;
  CancelNode* next_visited = nullptr;
  std::exception_ptr cause;
  std::stop_source stop{std::nostopstate};
  Chan<Unit> done;
};

struct DeadlineNode final : CancelNode, Timer {
  explicit DeadlineNode(Nanos when) noexcept;

  // Under lock. Throws std::bad_alloc.
  void arm();
  void cancelled() noexcept override;
};

struct AfterFuncNode final : CancelNode {
  explicit AfterFuncNode(std::unique_ptr<Job> j) noexcept : job(std::move(j)) {}

  void cancelled() noexcept override;

  std::unique_ptr<Job> job;  // belongs to the one who changed error: runs it, or destroys it
};

// Another reference, unless the last one was dropped already.
bool try_hold(ContextNode& node) noexcept;

// Cancels the node, if it is open, and all that derives from it. The caller holds it.
void cancel_tree(CancelNode& node, ContextError code, const std::exception_ptr& cause) noexcept;

// Puts the child on the list of child.up, if there is one; cancels it if that one is cancelled.
// True if it is on the list.
bool link(CancelNode& child) noexcept;

// Takes the node off the list of up, which drops the list's reference.
void detach(CancelNode& node) noexcept;

}  // namespace hamgam::inline HAMGAM_ABI::detail
