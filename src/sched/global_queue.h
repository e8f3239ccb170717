// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

#include <cstddef>

#include "base/intrusive_queue.h"
#include "hamgam/detail/atomic.h"
#include "os/spin_lock.h"
#include "sched/goroutine.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// What belongs to no worker: goroutines made runnable by plain threads, overflow, the queues of
// workers that retired. First in, first out.
class GlobalQueue {
 public:
  [[nodiscard]] bool empty() const noexcept {
    return size_.load(kRelaxed) == 0;  // relaxed: a hint; the caller fences where it must not miss
  }

  [[nodiscard]] std::size_t size() const noexcept {
    return size_.load(kRelaxed);  // relaxed: a hint
  }

  void push(Goroutine* g) noexcept {
    lock_.lock();
    queue_.push(g);
    size_.store(size_.load(kRelaxed) + 1, kRelaxed);  // relaxed: under lock_
    lock_.unlock();
  }

  void append(IntrusiveQueue<Goroutine>& batch, std::size_t count) noexcept {
    lock_.lock();
    queue_.append(batch);
    size_.store(size_.load(kRelaxed) + count, kRelaxed);  // relaxed: under lock_
    lock_.unlock();
  }

  // The first; up to `more` further ones are appended to `rest`. Null if empty.
  Goroutine* pop(std::size_t more, IntrusiveQueue<Goroutine>& rest) noexcept {
    if (empty()) {
      return nullptr;
    }
    lock_.lock();
    Goroutine* first = queue_.pop();
    std::size_t taken = first != nullptr ? 1 : 0;
    for (; taken != 0 && taken <= more; ++taken) {
      Goroutine* g = queue_.pop();
      if (g == nullptr) {
        break;
      }
      rest.push(g);
    }
    size_.store(size_.load(kRelaxed) - taken, kRelaxed);  // relaxed: under lock_
    lock_.unlock();
    return first;
  }

 private:
  SpinLock lock_;
  IntrusiveQueue<Goroutine> queue_;
  atomic<std::size_t> size_{0};
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
