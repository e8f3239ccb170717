// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// The part of a Context that templates and inline fast paths need. A Context is a reference to a
// node; each node holds a reference to its parent.

#include <cstdint>
#include <memory>
#include <utility>

#include "hamgam/detail/atomic.h"
#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

struct CancelNode;

// Everything but `refs` is constant while anybody holds a reference (an exception:
// time/context_node.h, about orphans).
struct HAMGAM_API ContextNode {
  ContextNode() = default;
  virtual ~ContextNode();
  ContextNode(const ContextNode&) = delete;
  ContextNode& operator=(const ContextNode&) = delete;

  atomic<std::uint32_t> refs{1};
  ContextNode* parent = nullptr;                 // null: the background
  CancelNode* canceller = nullptr;               // the nearest that can be cancelled, maybe itself
  const atomic<std::uint32_t>* error = nullptr;  // the canceller's
  const void* key = nullptr;                     // a ContextKey, and its value here
  const void* value = nullptr;
};

// error: 0 while open, else a ContextError, with kClosing until the done channel is closed.
inline constexpr std::uint32_t kClosing = 4;

// Drops a reference; nodes that nobody holds go.
HAMGAM_API void release_context(ContextNode* node) noexcept;

class ContextRef {
 public:
  ContextRef() noexcept = default;
  explicit ContextRef(ContextNode* owned) noexcept : node_(owned) {}
  ContextRef(const ContextRef& other) noexcept : node_(other.node_) {
    if (node_ != nullptr) {
      node_->refs.fetch_add(1, kRelaxed);  // relaxed: made from another reference
    }
  }
  ContextRef(ContextRef&& other) noexcept : node_(std::exchange(other.node_, nullptr)) {}
  ContextRef& operator=(ContextRef other) noexcept {
    std::swap(node_, other.node_);
    return *this;
  }
  ~ContextRef() {
    if (node_ != nullptr) {
      release_context(node_);
    }
  }

  [[nodiscard]] ContextNode* get() const noexcept { return node_; }
  ContextNode* operator->() const noexcept { return node_; }
  [[nodiscard]] ContextNode* release() noexcept { return std::exchange(node_, nullptr); }

 private:
  ContextNode* node_ = nullptr;
};

template <class T>
struct ValueNode final : ContextNode {
  ValueNode(const void* k, T&& v) : held(std::move(v)) {
    key = k;
    value = std::addressof(held);
  }
  T held;
};

// Makes `child` a child of `above` that is cancelled with it.
inline void derive(ContextNode& child, ContextRef above) noexcept {
  if (ContextNode* parent = above.release()) {
    child.parent = parent;
    child.canceller = parent->canceller;
    child.error = parent->error;
  }
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
