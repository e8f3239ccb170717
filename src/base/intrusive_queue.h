// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include <cstddef>

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// A first-in first-out queue linked through T::next. Owns nothing; not thread-safe.
// Invariant: head_ is null exactly if the queue is empty; tail_ is then meaningless.
template <class T>
class IntrusiveQueue {
 public:
  [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }
  [[nodiscard]] T* front() const noexcept { return head_; }

  void push(T* item) noexcept {
    item->next = nullptr;
    if (head_ == nullptr) {
      head_ = item;
    } else {
      tail_->next = item;
    }
    tail_ = item;
  }

  // Null if empty.
  T* pop() noexcept {
    T* item = head_;
    if (item != nullptr) {
      head_ = item->next;
    }
    return item;
  }

  // Moves all of `other` behind the items of this one.
  void append(IntrusiveQueue& other) noexcept {
    if (other.head_ == nullptr) {
      return;
    }
    if (head_ == nullptr) {
      head_ = other.head_;
    } else {
      tail_->next = other.head_;
    }
    tail_ = other.tail_;
    other.head_ = nullptr;
  }

 private:
  T* head_ = nullptr;
  T* tail_ = nullptr;
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
