// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// A queue of work from which finished work may give rise to more.
#pragma once

#include <hamgam/atomic.h>
#include <hamgam/guarded.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>

namespace wordfreq {

// push() waits while the queue is full, pop() while it is empty. Each pop() is followed by a
// done(); in between, put_back() may add what is left of the work. pop() says that there is nothing
// any more once the queue is closed and empty and all work that was popped is done.
template <class T>
class WorkQueue {
 public:
  explicit WorkQueue(std::size_t capacity = 65536) : capacity_(capacity) {}

  void push(T work) {
    wait_until([&](State& state) {
      if (state.work.size() >= capacity_) {
        return false;
      }
      state.work.push_back(std::move(work));
      return true;
    });
    changed();
  }

  // To the front, and never waits.
  void put_back(T work) {
    state_.lock()->work.push_front(std::move(work));
    changed();
  }

  std::optional<T> pop() {
    std::optional<T> work;
    bool was_full = false;
    wait_until([&](State& state) {
      if (state.work.empty()) {
        return state.closed && state.busy == 0;
      }
      was_full = state.work.size() >= capacity_;
      work = std::move(state.work.front());
      state.work.pop_front();
      ++state.busy;
      return true;
    });
    if (was_full) {
      changed();
    }
    return work;
  }

  void done() {
    if (state_.with([](State& state) { return --state.busy == 0 && state.closed; })) {
      changed();
    }
  }

  void close() {
    state_.lock()->closed = true;
    changed();
  }

 private:
  struct State {
    std::deque<T> work;
    std::size_t busy = 0;  // popped and not done
    bool closed = false;
  };

  // Tries until `ready` is true, and sleeps while nothing changes.
  template <class F>
  void wait_until(F ready) {
    for (;;) {
      const auto seen = changes_.load();
      if (state_.with(ready)) {
        return;
      }
      changes_.wait(seen);
    }
  }

  void changed() {
    changes_.add(1);
    changes_.notify_all();
  }

  const std::size_t capacity_;
  hamgam::Guarded<State> state_;
  hamgam::Atomic<std::uint32_t> changes_;
};

}  // namespace wordfreq
