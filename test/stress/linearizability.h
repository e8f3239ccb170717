// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Is what concurrent callers saw explained by some order of their calls, one after the other, in
// which a call that returned before another began also comes first? (Herlihy and Wing's
// linearizability.)
//
//   struct Op { Kind kind; int argument; int result; };      // a call with what it returned
//   struct Model {                                            // the sequential object
//     auto operator<=>(const Model&) const = default;         // any total order will do
//     bool step(const Op& op);     // does op; false if it could not have returned what it did
//   };
//   History<Op> history(actors);
//   history.record(actor, op, [&](Op& call) { call.result = object.take(call.argument); });
//   EXPECT_TRUE(linearizable(history.calls(), Model{}));
//
// A call that takes effect at two moments (it joins a queue, then is served) is recorded as two ops
// of the same interval. Actors record into lists of their own; the clock they share is an atomic
// counter.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <set>
#include <utility>
#include <vector>

namespace hamgam::test {

// invoked < returned; both are moments of one counter.
template <class Op>
struct Call {
  Op op;
  std::uint64_t invoked;
  std::uint64_t returned;
};

// Thread safety: each actor is one goroutine or thread; calls() is for when all are done.
template <class Op>
class History {
 public:
  explicit History(std::size_t actors) : of_(actors) {}

  std::uint64_t tick() { return clock_.fetch_add(1) + 1; }

  // Runs call(op), which writes into op what it returned.
  template <class F>
  void record(std::size_t actor, Op op, F&& call) {
    const std::uint64_t invoked = tick();
    call(op);
    add(actor, op, invoked, tick());
  }

  void add(std::size_t actor, Op op, std::uint64_t invoked, std::uint64_t returned) {
    of_[actor].push_back({std::move(op), invoked, returned});
  }

  std::vector<Call<Op>> calls() const {
    std::vector<Call<Op>> all;
    for (const auto& some : of_) {
      all.insert(all.end(), some.begin(), some.end());
    }
    return all;
  }

 private:
  std::atomic<std::uint64_t> clock_{0};
  std::vector<std::vector<Call<Op>>> of_;
};

// The search of Wing and Gong: any call that began before every open one returned may be next; what
// has failed from the same model with the same calls still open (Lowe's memo) is not tried again.
template <class Model, class Op>
class LinearSearch {
 public:
  explicit LinearSearch(std::vector<Call<Op>> calls)
      : calls_(std::move(calls)), done_(calls_.size()) {
    std::sort(calls_.begin(), calls_.end(),
              [](const auto& a, const auto& b) { return a.invoked < b.invoked; });
  }

  bool from(const Model& model) { return from(model, calls_.size()); }

 private:
  bool from(const Model& model, std::size_t open) {
    if (open == 0) {
      return true;
    }
    if (!failed_.emplace(done_, model).second) {
      return false;
    }
    std::uint64_t first_return = UINT64_MAX;
    for (std::size_t i = 0; i < calls_.size() && calls_[i].invoked < first_return; ++i) {
      if (done_[i]) {
        continue;
      }
      first_return = std::min(first_return, calls_[i].returned);
      Model next = model;
      if (next.step(calls_[i].op)) {
        done_[i] = true;
        if (from(next, open - 1)) {
          return true;
        }
        done_[i] = false;
      }
    }
    return false;
  }

  std::vector<Call<Op>> calls_;
  std::vector<bool> done_;
  std::set<std::pair<std::vector<bool>, Model>> failed_;
};

template <class Model, class Op>
bool linearizable(std::vector<Call<Op>> calls, const Model& initial) {
  return LinearSearch<Model, Op>(std::move(calls)).from(initial);
}

}  // namespace hamgam::test
