// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <random>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "hamgam/hamgam.h"
#include "support/asleep.h"
#include "support/child.h"
#include "support/crew.h"
#include "support/scale.h"
#include "support/seed.h"
#include "support/until.h"

// max_blocking: how many may be in blocking() at once, and what becomes of the others.

namespace hamgam {
namespace {

using test::in_child;
using test::Procs;
using test::until;

constexpr const char* kTold =
    "hamgam: 2 in blocking() at once, which is the limit: other goroutines wait until one is "
    "done; HAMGAM_BLOCKING or max_blocking(n) sets another\n";

class Limit {
 public:
  explicit Limit(int n) : former_(max_blocking(n)) {}
  ~Limit() { max_blocking(former_); }
  Limit(const Limit&) = delete;
  Limit& operator=(const Limit&) = delete;

 private:
  int former_;
};

// Holds threads as a foreign library would.
class Gate {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    ++inside_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  void open() {
    std::lock_guard const lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  [[nodiscard]] int inside() {
    std::lock_guard const lock(mutex_);
    return inside_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int inside_ = 0;
  bool open_ = false;
};

// Starts one that parks before it calls f in blocking().
template <class F>
void queue_one(WaitGroup& group, F f) {
  std::uint64_t const before = test::parks();
  group.go([f] { blocking(f); });
  until([before] { return test::parks() > before; });
}

TEST(BlockingLimit, is_asked_for_and_set) {
  int const usual = max_blocking();
  EXPECT_EQ(usual, 10'000);
  EXPECT_EQ(max_blocking(7), usual);
  EXPECT_EQ(max_blocking(0), 7);
  EXPECT_EQ(max_blocking(-5), 7);
  EXPECT_EQ(max_blocking(1'000'000), 7);
  EXPECT_EQ(max_blocking(usual), 31'744);
}

TEST(BlockingLimit, others_go_on_while_it_is_reached) {
  for (int procs : {1, 2}) {
    Procs const width(procs);
    Limit const limit(3);
    (void)run([] {
      Gate gate;
      std::atomic<int> after{0};
      WaitGroup group;
      for (int i = 0; i < 3; ++i) {
        group.go([&] { blocking([&] { gate.pass(); }); });
      }
      until([&] { return gate.inside() == 3; });
      for (int i = 0; i < 5; ++i) {
        queue_one(group, [&] { ++after; });
      }
      auto const there = make_chan<int>();
      auto const back = make_chan<int>();
      group.go([there, back] {
        for (int n : there) {
          back.send(n);
        }
      });
      for (int i = 0; i < 1000; ++i) {
        there.send(i);
        EXPECT_EQ(*back.recv(), i);
      }
      there.close();
      EXPECT_EQ(after, 0);
      EXPECT_EQ(gate.inside(), 3);
      gate.open();
      group.wait();
      EXPECT_EQ(after, 5);
    });
  }
}

TEST(BlockingLimit, first_come_first_served) {
  for (int procs : {1, 2, 4}) {
    Procs const width(procs);
    Limit const limit(1);
    (void)run([] {
      Gate gate;
      std::vector<int> order;  // one at a time is inside
      std::mutex mutex;
      WaitGroup group;
      group.go([&] { blocking([&] { gate.pass(); }); });
      until([&] { return gate.inside() == 1; });
      for (int i = 0; i < 20; ++i) {
        queue_one(group, [&, i] {
          std::lock_guard const lock(mutex);
          order.push_back(i);
        });
      }
      gate.open();
      group.wait();
      ASSERT_EQ(order.size(), 20U);
      EXPECT_TRUE(std::ranges::is_sorted(order));
    });
  }
}

TEST(BlockingLimit, says_so_once) {
  auto child = in_child(
      [] {
        (void)run([] {
          for (int round = 0; round < 3; ++round) {
            Gate gate;
            WaitGroup group;
            for (int i = 0; i < 2; ++i) {
              group.go([&] { blocking([&] { gate.pass(); }); });
            }
            until([&] { return gate.inside() == 2; });
            queue_one(group, [] {});
            gate.open();
            group.wait();
          }
        });
      },
      {"HAMGAM_BLOCKING=2"});
  EXPECT_TRUE(child.succeeded()) << child.status;
  EXPECT_EQ(child.error, kTold);
}

// The calls inside wait for one that has no place: a deadlock, until there is one.
TEST(BlockingLimit, a_higher_one_lets_in_those_who_wait) {
  Limit const limit(1);
  (void)run([] {
    Gate gate;
    WaitGroup group;
    group.go([&] { blocking([&] { gate.pass(); }); });
    until([&] { return gate.inside() == 1; });
    queue_one(group, [&] { gate.open(); });
    EXPECT_EQ(max_blocking(2), 1);
    group.wait();
  });
}

TEST(BlockingLimit, one_inside_of_another_needs_no_place) {
  Limit const limit(1);
  (void)run([] {
    EXPECT_EQ(blocking([] { return blocking([] { return 3; }); }), 3);
    EXPECT_EQ(blocking([] { return 4; }), 4);  // and the place was given back, once
  });
}

TEST(BlockingLimit, what_throws_gives_its_place_back) {
  Limit const limit(1);
  (void)run([] {
    for (int i = 0; i < 3; ++i) {
      EXPECT_THROW(blocking([] { throw std::runtime_error("out"); }), std::runtime_error);
    }
  });
}

TEST(BlockingLimit, is_not_for_plain_threads_nor_for_those_who_keep_theirs) {
  Limit const limit(1);
  Gate gate;
  WaitGroup group;
  group.go([&] { blocking([&] { gate.pass(); }); });
  until([&] { return gate.inside() == 1; });
  EXPECT_EQ(blocking([] { return 1; }), 1);  // on a thread
  group.go([] {
    auto [ctx, cancel] = with_cancel(Context::background());
    bool called = false;
    std::stop_callback const callback(ctx.stop_token(), [&] { blocking([&] { called = true; }); });
    cancel();  // a callback keeps its thread
    EXPECT_TRUE(called);
  });
  until([&] { return num_goroutine() == 1; });
  gate.open();
  group.wait();
}

// Who blocks without a word is made up for by another worker, whatever the limit is.
TEST(BlockingLimit, is_not_for_calls_that_were_not_announced) {
  Procs const width(1);
  Limit const limit(1);
  (void)run([] {
    Gate announced;
    Gate silent;
    WaitGroup group;
    group.go([&] { blocking([&] { announced.pass(); }); });
    for (int i = 0; i < 3; ++i) {
      group.go([&] { silent.pass(); });
    }
    until([&] { return announced.inside() == 1 && silent.inside() == 3; });
    silent.open();
    announced.open();
    group.wait();
  });
}

// Those who wait for a place hold up neither the exit nor each other.
TEST(BlockingLimit, exit_while_some_wait_for_a_place) {
  auto child = in_child(
      [] {
        (void)run([] {
          Gate gate;
          for (int i = 0; i < 2; ++i) {
            go([&] { blocking([&] { gate.pass(); }); });
          }
          until([&] { return gate.inside() == 2; });
          for (int i = 0; i < 20; ++i) {
            std::uint64_t const before = test::parks();
            go([] { blocking([] { pause(); }); });
            until([before] { return test::parks() > before; });
          }
          std::exit(0);
        });
      },
      {"HAMGAM_BLOCKING=2"});
  EXPECT_TRUE(child.succeeded()) << child.status;
  EXPECT_EQ(child.error, kTold);
}

// While it is changed all the time, never more than the highest are inside, and nobody is
// forgotten.
TEST(BlockingLimit, stress) {
  constexpr int kMost = 5;
  int const rounds = test::scaled(300);
  std::uint64_t const seed = test::seed();
  for (int procs : {1, 2, 4}) {
    Procs const width(procs);
    Limit const limit(kMost);
    std::atomic<int> inside{0};
    std::atomic<int> peak{0};
    std::atomic<int> done{0};
    std::atomic<bool> over{false};
    std::thread setter([&] {
      std::mt19937_64 engine(seed);
      while (!over) {
        max_blocking(static_cast<int>(1 + engine() % kMost));
        std::this_thread::yield();
      }
      max_blocking(1);
    });
    WaitGroup group;
    for (int i = 0; i < 12; ++i) {
      group.go([&, i] {
        std::mt19937_64 engine(seed + static_cast<unsigned>(i));
        for (int round = 0; round < rounds; ++round) {
          blocking([&] {
            int const now = ++inside;
            for (int seen = peak; seen < now && !peak.compare_exchange_weak(seen, now);) {
            }
            if (engine() % 8 == 0) {
              std::this_thread::yield();
            }
            if (engine() % 8 == 0) {
              blocking([] {});
            }
            --inside;
          });
          ++done;
          if (engine() % 4 == 0) {
            yield();
          }
        }
      });
    }
    group.wait();
    over = true;
    setter.join();
    EXPECT_EQ(done, 12 * rounds);
    EXPECT_LE(peak, kMost);
    (void)run([] { blocking([] {}); });  // with a limit of 1: every place was given back
  }
}

}  // namespace
}  // namespace hamgam
