// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// What concurrent callers of a Pool saw is explained by some order of their calls, 1,000 random
// histories of goroutines and threads. A pool is a bag: take gives something that is in it, each
// thing to one caller, or nothing (it may overlook what another worker keeps); trim takes
// everything out.
#include <gtest/gtest.h>

#include <compare>
#include <memory>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "hamgam/go.h"
#include "hamgam/pool.h"
#include "hamgam/waitgroup.h"
#include "stress/linearizability.h"

namespace {

constexpr int kNothing = -1;

enum class Kind { kPut, kTake, kTrim };

struct Op {
  Kind kind;
  int value;
  int result = 0;
};

struct Model {
  std::set<int> bag;
  auto operator<=>(const Model&) const = default;

  bool step(const Op& op) {
    switch (op.kind) {
      case Kind::kPut:
        return bag.insert(op.value).second;
      case Kind::kTake:
        return op.result == kNothing || bag.erase(op.result) == 1;
      case Kind::kTrim: {
        bool const all = op.result == static_cast<int>(bag.size());
        bag.clear();
        return all;
      }
    }
    return false;
  }
};

TEST(PoolLinearizability, ABag) {
  constexpr std::size_t kActors = 4;
  constexpr int kOps = 8;
  for (unsigned seed = 1; seed <= 1000; ++seed) {
    hamgam::Pool<int> pool(nullptr);
    hamgam::test::History<Op> history(kActors + 1);
    auto const act = [&](std::size_t actor) {
      std::mt19937 random(seed * 16 + static_cast<unsigned>(actor));
      for (int i = 0; i < kOps; ++i) {
        Op const op{random() % 2 == 0 ? Kind::kPut : Kind::kTake,
                    static_cast<int>(actor) * kOps + i};
        history.record(actor, op, [&pool](Op& call) {
          if (call.kind == Kind::kPut) {
            pool.put(std::make_unique<int>(call.value));
          } else {
            auto const taken = pool.take();
            call.result = taken != nullptr ? *taken : kNothing;
          }
        });
        if (random() % 3 == 0) {
          hamgam::yield();
        }
      }
    };
    hamgam::WaitGroup done;
    std::vector<std::thread> threads;
    for (std::size_t actor = 0; actor < kActors; ++actor) {
      if (actor % 2 == 0 || seed % 4 == 0) {
        done.go(act, actor);
      } else {
        threads.emplace_back(act, actor);
      }
    }
    done.wait();
    for (auto& thread : threads) {
      thread.join();
    }
    history.record(kActors, Op{Kind::kTrim, 0},
                   [&pool](Op& call) { call.result = static_cast<int>(pool.trim()); });
    ASSERT_TRUE(hamgam::test::linearizable(history.calls(), Model{})) << "seed " << seed;
  }
}

}  // namespace
