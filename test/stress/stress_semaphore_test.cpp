// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>

#include <chrono>
#include <compare>
#include <cstdint>
#include <random>
#include <stop_token>
#include <utility>
#include <vector>

#include "hamgam/semaphore.h"
#include "stress/linearizability.h"
#include "support/crew.h"
#include "support/seed.h"

namespace hamgam {
namespace {

using test::Crew;
using test::History;
using test::Who;

// What a caller sees of one call. One that may wait is two: it joins the queue, and then it is
// served or gives up; only that shows whether the queue was strict.
struct Op {
  enum Kind { kTaken, kNotTaken, kJoined, kServed, kGaveUp, kReleased };
  Kind kind;
  std::int64_t units;
  int caller;
};

struct Model {
  std::int64_t free;
  std::vector<std::pair<int, std::int64_t>> queue;
  auto operator<=>(const Model&) const = default;

  bool step(const Op& op) {
    switch (op.kind) {
      case Op::kTaken:
        if (!queue.empty() || free < op.units) {
          return false;
        }
        free -= op.units;
        return true;
      case Op::kNotTaken:
        return !queue.empty() || free < op.units;
      case Op::kJoined:
        queue.emplace_back(op.caller, op.units);
        return true;
      case Op::kServed:
        if (queue.empty() || queue.front().first != op.caller || free < op.units) {
          return false;
        }
        free -= op.units;
        queue.erase(queue.begin());
        return true;
      case Op::kGaveUp:
        return std::erase_if(queue, [&](const auto& one) { return one.first == op.caller; }) == 1;
      case Op::kReleased:
        free += op.units;
        return true;
    }
    return false;
  }
};

constexpr std::int64_t kUnits = 3;
constexpr int kCallers = 3;
constexpr int kRounds = 4;

class Caller {
 public:
  Caller(Semaphore& semaphore, History<Op>& history, int number, std::uint64_t seed)
      : semaphore_(semaphore), history_(history), number_(number), random_(seed) {}

  void run() {
    for (int i = 0; i < kRounds; ++i) {
      const auto units = static_cast<std::int64_t>(1 + random_() % kUnits);
      const bool held = random_() % 3 == 0 ? attempt(units) : wait(units);
      if (random_() % 2 == 0) {
        yield();
      }
      if (held) {
        const std::uint64_t invoked = history_.tick();
        semaphore_.release(units);
        add(Op::kReleased, units, invoked);
      }
    }
  }

 private:
  bool attempt(std::int64_t units) {
    const std::uint64_t invoked = history_.tick();
    const bool taken = semaphore_.try_acquire(units);
    add(taken ? Op::kTaken : Op::kNotTaken, units, invoked);
    return taken;
  }

  bool wait(std::int64_t units) {
    const std::uint64_t invoked = history_.tick();
    bool served = true;
    switch (random_() % 3) {
      case 0:
        semaphore_.acquire(units);
        break;
      case 1:
        served = semaphore_.try_acquire_for(std::chrono::microseconds(random_() % 20), units);
        break;
      default: {
        std::stop_source stop;
        stop.request_stop();
        served = semaphore_.acquire(stop.get_token(), units);
      }
    }
    const std::uint64_t returned = history_.tick();
    history_.add(index(), {Op::kJoined, units, number_}, invoked, returned);
    history_.add(index(), {served ? Op::kServed : Op::kGaveUp, units, number_}, invoked, returned);
    return served;
  }

  void add(Op::Kind kind, std::int64_t units, std::uint64_t invoked) {
    history_.add(index(), {kind, units, number_}, invoked, history_.tick());
  }

  [[nodiscard]] std::size_t index() const { return static_cast<std::size_t>(number_); }

  Semaphore& semaphore_;
  History<Op>& history_;
  const int number_;
  std::mt19937_64 random_;
};

class StressSemaphore : public testing::TestWithParam<Who> {};
INSTANTIATE_TEST_SUITE_P(, StressSemaphore, test::everybody(), test::name_of);

TEST_P(StressSemaphore, linearizable) {
  const std::uint64_t seeds = 1000;
  const std::uint64_t first = test::seed();
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
    Semaphore semaphore(kUnits);
    History<Op> history(kCallers);
    Crew crew(GetParam());
    for (int number = 0; number < kCallers; ++number) {
      crew.start([&, number] {
        Caller(semaphore, history, number, seed * kCallers + static_cast<std::uint64_t>(number))
            .run();
      });
    }
    crew.join();
    ASSERT_TRUE((linearizable(history.calls(), Model{kUnits, {}}))) << "seed " << seed;
    ASSERT_TRUE(semaphore.try_acquire(kUnits)) << "seed " << seed;
  }
}

}  // namespace
}  // namespace hamgam
