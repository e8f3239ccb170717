// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// What concurrent callers of a Map saw is explained by some order of their calls: 1,000 random
// histories, each with a good and a constant hash, of goroutines and threads.
#include <gtest/gtest.h>

#include <array>
#include <compare>
#include <functional>
#include <random>
#include <thread>
#include <vector>

#include "hamgam/go.h"
#include "hamgam/map.h"
#include "hamgam/waitgroup.h"
#include "stress/linearizability.h"

namespace {

constexpr int kKeys = 2;
constexpr int kAbsent = -1;

enum class Kind {
  kLoad,
  kStore,
  kLoadOrStore,
  kLoadAndErase,
  kErase,
  kSwap,
  kCompareAndSwap,
  kCompareAndErase,
  kClear
};

struct Op {
  Kind kind;
  int key;
  int value;
  int other;
  int result = 0;  // a value, kAbsent, or whether it did
};

// A plain map does the same.
struct Model {
  std::array<int, kKeys> values = [] {
    std::array<int, kKeys> all{};
    all.fill(kAbsent);
    return all;
  }();
  auto operator<=>(const Model&) const = default;

  bool step(const Op& op) {
    int& at = values[static_cast<std::size_t>(op.key)];
    int const had = at;
    switch (op.kind) {
      case Kind::kLoad:
        return op.result == had;
      case Kind::kStore:
        at = op.value;
        return true;
      case Kind::kLoadOrStore:
        at = had == kAbsent ? op.value : had;
        return op.result == at;
      case Kind::kLoadAndErase:
        at = kAbsent;
        return op.result == had;
      case Kind::kErase:
        at = kAbsent;
        return op.result == (had != kAbsent ? 1 : 0);
      case Kind::kSwap:
        at = op.value;
        return op.result == had;
      case Kind::kCompareAndSwap:
        at = had == op.other ? op.value : had;
        return op.result == (had == op.other ? 1 : 0);
      case Kind::kCompareAndErase:
        at = had == op.other ? kAbsent : had;
        return op.result == (had == op.other ? 1 : 0);
      case Kind::kClear:
        values.fill(kAbsent);
        return true;
    }
    return false;
  }
};

template <class Map>
void perform(Map& map, Op& op) {
  switch (op.kind) {
    case Kind::kLoad:
      op.result = map.load(op.key).value_or(kAbsent);
      break;
    case Kind::kStore:
      map.store(op.key, op.value);
      break;
    case Kind::kLoadOrStore:
      op.result = map.load_or_store(op.key, op.value).first;
      break;
    case Kind::kLoadAndErase:
      op.result = map.load_and_erase(op.key).value_or(kAbsent);
      break;
    case Kind::kErase:
      op.result = map.erase(op.key) ? 1 : 0;
      break;
    case Kind::kSwap:
      op.result = map.swap(op.key, op.value).value_or(kAbsent);
      break;
    case Kind::kCompareAndSwap:
      op.result = map.compare_and_swap(op.key, op.other, op.value) ? 1 : 0;
      break;
    case Kind::kCompareAndErase:
      op.result = map.compare_and_erase(op.key, op.other) ? 1 : 0;
      break;
    case Kind::kClear:
      map.clear();
      break;
  }
}

struct ConstantHash {
  std::size_t operator()(int /*key*/) const { return 7; }
};

// kFillers: so many other keys are stored beside each operation, so that the table grows.
template <class Hash, int kFillers = 0>
void check(unsigned seeds) {
  constexpr std::size_t kActors = 4;
  constexpr int kOps = 6;
  for (unsigned seed = 1; seed <= seeds; ++seed) {
    hamgam::Map<int, int, Hash> map;
    hamgam::test::History<Op> history(kActors);
    auto const act = [&](std::size_t actor) {
      std::mt19937 random(seed * 16 + static_cast<unsigned>(actor));
      for (int i = 0; i < kOps; ++i) {
        Op const op{static_cast<Kind>(random() % 9), static_cast<int>(random() % kKeys),
                    static_cast<int>(random() % 3), static_cast<int>(random() % 3)};
        history.record(actor, op, [&map](Op& call) { perform(map, call); });
        for (int j = 0; j < kFillers; ++j) {
          map.store(
              kKeys + ((i * kFillers + j) * static_cast<int>(kActors) + static_cast<int>(actor)),
              0);
        }
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
    ASSERT_TRUE(hamgam::test::linearizable(history.calls(), Model{})) << "seed " << seed;
  }
}

TEST(MapLinearizability, GoodHash) { check<std::hash<int>>(1000); }
TEST(MapLinearizability, GrowingTable) { check<std::hash<int>, 8>(1000); }
TEST(MapLinearizability, ConstantHash) { check<ConstantHash>(1000); }

}  // namespace
