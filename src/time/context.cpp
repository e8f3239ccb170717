// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/context.h"

#include <algorithm>
#include <mutex>
#include <string>

#include "base/immortal.h"
#include "time/context_node.h"

namespace hamgam::inline HAMGAM_ABI {

namespace {

using detail::CancelNode;
using detail::ContextAccess;
using detail::ContextRef;

class ContextCategory final : public std::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "hamgam.context"; }

  [[nodiscard]] std::string message(int value) const override {
    switch (static_cast<ContextError>(value)) {
      case ContextError::canceled:
        return "context canceled";
      case ContextError::deadline_exceeded:
        return "context deadline exceeded";
    }
    return "unknown context error";
  }

  [[nodiscard]] std::error_condition default_error_condition(int value) const noexcept override {
    switch (static_cast<ContextError>(value)) {
      case ContextError::canceled:
        return std::errc::operation_canceled;
      case ContextError::deadline_exceeded:
        return std::errc::timed_out;
    }
    return {value, *this};
  }
};

const std::exception_ptr& make_cause(ContextError code) {
  detail::TsanIgnore const ignore;  // made once, under the lock of a static's initialisation
  return *new std::exception_ptr(std::make_exception_ptr(std::system_error(code)));
}

// The cause of all who gave none.
const std::exception_ptr& plain_cause(ContextError code) {
  static const auto& canceled = make_cause(ContextError::canceled);
  static const auto& too_late = make_cause(ContextError::deadline_exceeded);
  return code == ContextError::canceled ? canceled : too_late;
}

// A fresh node below the parent, which does not know of it yet.
template <class Node>
ContextRef below(Node* node, ContextRef parent) noexcept {
  ContextRef ref(node);
  if (parent.get() != nullptr) {
    node->up = parent->canceller;
    if (node->up != nullptr) {
      node->deadline = std::min(node->deadline, node->up->deadline);
    }
    node->parent = parent.release();
  }
  return ref;
}

}  // namespace

const std::error_category& context_category() noexcept {
  static constinit detail::Immortal<ContextCategory> category;
  return category.value;
}

std::error_code Context::err_slow(std::uint32_t word) const noexcept {
  detail::tsan_acquire(node_->error);
  if ((word & detail::kClosing) != 0 && !node_->canceller->done.try_recv().closed) {
    return {};
  }
  return static_cast<ContextError>(word & ~detail::kClosing);
}

std::exception_ptr Context::cause() const {
  std::error_code const error = err();
  if (!error) {
    return nullptr;
  }
  const std::exception_ptr& given = node_->canceller->cause;
  return given != nullptr ? given : plain_cause(static_cast<ContextError>(error.value()));
}

std::optional<TimePoint> Context::deadline() const noexcept {
  if (node_.get() == nullptr || node_->canceller == nullptr ||
      node_->canceller->deadline == detail::kForever) {
    return std::nullopt;
  }
  return TimePoint(Clock::duration(node_->canceller->deadline));
}

RecvChan<Unit> Context::done() const {
  CancelNode* const node = node_.get() != nullptr ? node_->canceller : nullptr;
  if (node == nullptr) {
    return {};
  }
  // [ctx.9] acquire, pairs with [ctx.10]: `done`
  if ((node->made.load(detail::kAcquire) & CancelNode::kDone) == 0) {
    std::lock_guard const guard(node->lock);
    // relaxed throughout: under the lock
    if ((node->made.load(detail::kRelaxed) & CancelNode::kDone) == 0) {
      detail::TsanHide const hide;  // whoever makes it is before nobody by that
      node->done = make_chan<Unit>();
      if (node->error.load(detail::kRelaxed) != 0) {
        detail::tsan_acquire(&node->error);
        node->done.close();
      }
      node->made.fetch_or(CancelNode::kDone,
                          detail::kRelease);  // [ctx.10] release, pairs with [ctx.9]
    }
  }
  return node->done;
}

std::stop_token Context::stop_token() const {
  CancelNode* const node = node_.get() != nullptr ? node_->canceller : nullptr;
  if (node == nullptr) {
    return {};
  }
  // [ctx.6] acquire, pairs with [ctx.7]: `stop`
  if ((node->made.load(detail::kAcquire) & CancelNode::kStop) == 0) {
    std::lock_guard const guard(node->lock);
    // relaxed throughout: under the lock
    if ((node->made.load(detail::kRelaxed) & CancelNode::kStop) == 0) {
      detail::TsanHide const hide;  // as in done()
      node->stop = std::stop_source();
      if (node->error.load(detail::kRelaxed) != 0) {
        detail::tsan_acquire(&node->error);
        detail::request_stop(node->stop);  // nobody has registered a callback yet
      }
      node->made.fetch_or(CancelNode::kStop,
                          detail::kRelease);  // [ctx.7] release, pairs with [ctx.6]
    }
  }
  return node->stop.get_token();
}

CancelContext with_cancel(Context parent) {
  auto node = below(new CancelNode, ContextAccess::node_of(std::move(parent)));
  (void)detail::link(*node->canceller);
  return ContextAccess::cancel_context(std::move(node));
}

CancelContext detail::derive_with_deadline(Context&& parent, std::int64_t deadline, bool passed) {
  auto const sooner = parent.deadline();
  if (sooner.has_value() && sooner->time_since_epoch().count() <= deadline) {
    return with_cancel(std::move(parent));
  }
  auto* node = new DeadlineNode(std::min(deadline, kForever - 1));
  auto ref = below(node, ContextAccess::node_of(std::move(parent)));
  (void)link(*node);
  if (passed) {
    cancel_tree(*node, ContextError::deadline_exceeded, nullptr);
  } else {
    std::lock_guard const guard(node->lock);
    if (node->error.load(kRelaxed) == 0) {  // relaxed: under the lock
      node->arm();
    }
  }
  return ContextAccess::cancel_context(std::move(ref));
}

Context without_cancel(Context parent) {
  ContextRef node(new detail::ContextNode);
  node->parent = ContextAccess::node_of(std::move(parent)).release();
  return ContextAccess::handle(std::move(node));
}

void CancelFunc::operator()(const std::exception_ptr& cause) const noexcept {
  if (node_.get() != nullptr) {
    CancelNode& node = *node_->canceller;
    if (HAMGAM_UNLIKELY(node.tells_calls)) {
      node.cancel_called();
    }
    detail::cancel_tree(node, ContextError::canceled, cause);
  }
}

AfterFunc detail::register_after_func(Context&& context, std::unique_ptr<Job> job) {
  ContextRef above = ContextAccess::node_of(std::move(context));
  tsan_release(job.get());
  auto* node = new AfterFuncNode(std::move(job));
  ContextRef ref(node);
  if (above.get() != nullptr && above->canceller != nullptr) {
    node->up = above->canceller;
    node->owned = true;
    node->refs.fetch_add(1, kRelaxed);  // relaxed: the list's, while nobody knows of the node
    if (!link(*node)) {
      release_context(node);
    }
  }
  return ContextAccess::after_func(std::move(above), std::move(ref));
}

bool AfterFunc::stop() const noexcept {
  if (node_.get() == nullptr) {
    return false;
  }
  auto& node = static_cast<detail::AfterFuncNode&>(*node_->canceller);
  std::unique_ptr<detail::Job> job;  // goes last: what it captured may hold this very handle
  {
    std::lock_guard const guard(node.lock);
    if (node.error.load(detail::kRelaxed) != 0) {  // relaxed: under the lock
      return false;
    }
    // relaxed: carries nothing but itself
    node.error.store(static_cast<std::uint32_t>(ContextError::canceled), detail::kRelaxed);
    job = std::move(node.job);
  }
  detail::detach(node);
  return true;
}

}  // namespace hamgam::inline HAMGAM_ABI
