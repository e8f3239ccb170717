// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/resource_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "hamgam/go.h"
#include "hamgam/guarded.h"
#include "hamgam/time.h"
#include "hamgam/waitgroup.h"
#include "support/allocations.h"
#include "support/scale.h"
#include "support/until.h"

namespace {

using hamgam::ResourcePool;
using hamgam::ResourcePoolOptions;
using hamgam::WaitGroup;
using std::chrono::milliseconds;

using hamgam::test::comes_true;
using hamgam::test::slow;

// A connection that knows how many of them there are.
struct Connection {
  Connection() : id(++opened) { most = std::max(most.load(), ++alive); }
  ~Connection() { --alive; }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  int id;
  std::atomic<bool> used{false};
  bool broken = false;

  static inline std::atomic<int> opened{0};
  static inline std::atomic<int> alive{0};
  static inline std::atomic<int> most{0};
};

using Connections = ResourcePool<Connection>;
Connection connect() { return Connection(); }

// What every test runs in: goroutines, threads, or both.
enum class Who { kGoroutines, kThreads, kBoth };

class ResourcePoolTest : public testing::TestWithParam<Who> {
 protected:
  void SetUp() override {
    Connection::opened = 0;
    Connection::most = 0;
    ASSERT_EQ(Connection::alive, 0);
  }
  void TearDown() override { EXPECT_EQ(Connection::alive, 0); }

  // Starts f as number `i`.
  template <class F>
  void start(F f) {
    bool const thread =
        GetParam() == Who::kThreads || (GetParam() == Who::kBoth && turn_++ % 2 == 1);
    if (thread) {
      threads_.emplace_back(f);
    } else {
      goroutines_.go(f);
    }
  }
  void join() {
    goroutines_.wait();
    for (auto& thread : threads_) {
      thread.join();
    }
    threads_.clear();
  }

 private:
  WaitGroup goroutines_;
  std::vector<std::thread> threads_;
  int turn_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Group, ResourcePoolTest,
                         testing::Values(Who::kGoroutines, Who::kThreads, Who::kBoth),
                         [](const auto& info) {
                           return info.param == Who::kGoroutines ? "Goroutines"
                                  : info.param == Who::kThreads  ? "Threads"
                                                                 : "Both";
                         });

TEST_P(ResourcePoolTest, Smoke) {
  start([] {
    Connections pool(connect, {.max_open = 2});
    EXPECT_EQ(pool.stats().open, 0U);
    {
      auto one = pool.acquire();
      EXPECT_EQ(one->id, 1);
      EXPECT_EQ((*one).id, 1);
      auto two = std::move(one);
      EXPECT_EQ(one.get(), nullptr);
      EXPECT_EQ(two.get()->id, 1);
      EXPECT_EQ(pool.stats().in_use, 1U);
      EXPECT_EQ(pool.stats().max_open, 2U);
    }
    EXPECT_EQ(pool.stats().idle, 1U);
    {
      // The one used last comes first.
      auto a = pool.acquire();
      auto b = pool.acquire();
      EXPECT_EQ(b->id, 2);
      EXPECT_FALSE(pool.try_acquire().has_value());
      // Long enough to begin to wait, on a slow machine, too.
      EXPECT_FALSE(pool.acquire_for(milliseconds(30)).has_value());
      EXPECT_FALSE(pool.acquire_until(hamgam::Clock::now() + milliseconds(30)).has_value());
      EXPECT_FALSE(
          pool.acquire_until(std::chrono::system_clock::now() + milliseconds(30)).has_value());
      std::stop_source stop;
      stop.request_stop();
      EXPECT_FALSE(pool.acquire(stop.get_token()).has_value());
    }
    // b was made last and is destroyed first: a was returned last.
    EXPECT_EQ(pool.acquire()->id, 1);
    // What is free is taken even if stop was requested.
    std::stop_source stop;
    stop.request_stop();
    EXPECT_TRUE(pool.acquire(stop.get_token()).has_value());
    EXPECT_TRUE(pool.acquire_for(milliseconds(-1)).has_value());
    EXPECT_EQ(Connection::opened, 2);
    EXPECT_EQ(pool.stats().wait_count, 4U);
    EXPECT_GT(pool.stats().wait_duration, milliseconds(0));
  });
  join();
  static_assert(!std::is_copy_constructible_v<Connections::Lease>);
  static_assert(std::is_nothrow_move_constructible_v<Connections::Lease>);
}

// DB1
TEST_P(ResourcePoolTest, MaxIdleZeroClosesEverything) {
  start([] {
    Connections pool(connect, {.max_idle = 0});
    for (int i = 0; i < 3; ++i) {
      (void)pool.acquire();
      EXPECT_EQ(Connection::alive, 0);
    }
    EXPECT_EQ(pool.stats().max_idle_closed, 3U);
    pool.set_max_idle(1);
    (void)pool.acquire();
    EXPECT_EQ(Connection::alive, 1);
    pool.set_max_idle(0);
    EXPECT_EQ(Connection::alive, 0);
  });
  join();
}

// DB12
TEST_P(ResourcePoolTest, AcquiringAllocatesNothing) {
  start([] {
    Connections pool(connect);
    { auto const warm = pool.acquire(); }
    auto const before = hamgam::test::allocations();
    for (int i = 0; i < 100; ++i) {
      auto const lease = pool.acquire();
    }
    EXPECT_LT(hamgam::test::allocations() - before, 100U);
  });
  join();
}

// DB2
TEST_P(ResourcePoolTest, NeverMoreThanMaxOpen) {
  Connections pool(connect, {.max_open = 10, .max_idle = 10});
  for (int i = 0; i < 50; ++i) {
    start([&pool] {
      for (int round = 0; round < (slow() ? 10 : 100); ++round) {
        auto one = pool.acquire();
        EXPECT_FALSE(one->used.exchange(true));
        hamgam::yield();
        one->used = false;
      }
    });
  }
  join();
  EXPECT_LE(Connection::most, 10);
  EXPECT_LE(Connection::opened, 10);
  auto stats = pool.stats();
  EXPECT_EQ(stats.idle, stats.open);
  {
    std::vector<Connections::Lease> all;
    for (int i = 0; i < 10; ++i) {
      all.push_back(pool.acquire());
    }
  }
  EXPECT_EQ(pool.stats().idle, 10U);
  pool.set_max_open(5);
  EXPECT_EQ(Connection::alive, 5);
  pool.set_max_open(0);
  EXPECT_EQ(Connection::alive, 5);
  EXPECT_EQ(pool.stats().max_open, 0U);
}

// DB3
TEST_P(ResourcePoolTest, LoweringBelowWhatIsInUseTakesEffectOnReturn) {
  start([] {
    Connections pool(connect, {.max_open = 5, .max_idle = 5});
    std::vector<Connections::Lease> all;
    for (int i = 0; i < 5; ++i) {
      all.push_back(pool.acquire());
    }
    pool.set_max_open(2);
    EXPECT_EQ(pool.stats().in_use, 5U);
    EXPECT_FALSE(pool.try_acquire().has_value());
    all.pop_back();
    all.pop_back();
    all.pop_back();
    EXPECT_EQ(Connection::alive, 2);
    EXPECT_FALSE(pool.try_acquire().has_value());
    all.clear();
    EXPECT_EQ(Connection::alive, 2);
    EXPECT_EQ(pool.stats().idle, 2U);
  });
  join();
}

TEST_P(ResourcePoolTest, RaisingMaxOpenServesWaiters) {
  Connections pool(connect, {.max_open = 1});
  auto held = std::make_unique<Connections::Lease>(pool.acquire());
  std::atomic<int> got{0};
  for (int i = 0; i < 4; ++i) {
    start([&] {
      auto one = pool.acquire();
      ++got;
      EXPECT_TRUE(comes_true([&] { return got == 4; }));
    });
  }
  ASSERT_TRUE(comes_true([&] { return pool.stats().wait_count == 4; }));
  EXPECT_EQ(got, 0);
  pool.set_max_open(5);
  join();
  EXPECT_EQ(got, 4);
}

// DB4
TEST_P(ResourcePoolTest, AnOpenerThatThrowsLosesNoCapacity) {
  constexpr int kMax = 3;
  std::atomic<bool> fail{true};
  std::atomic<int> errors{0};
  Connections pool(
      [&fail] {
        hamgam::yield();
        if (fail) {
          throw std::runtime_error("refused");
        }
        return Connection();
      },
      {.max_open = kMax, .max_idle = kMax});
  for (int i = 0; i < 2 * kMax + 2; ++i) {
    start([&] {
      try {
        (void)pool.acquire();
      } catch (const std::runtime_error&) {
        ++errors;
      }
    });
  }
  join();
  EXPECT_EQ(errors, 2 * kMax + 2);
  EXPECT_EQ(pool.stats().open, 0U);
  fail = false;
  std::vector<Connections::Lease> all;
  for (int i = 0; i < kMax; ++i) {
    all.push_back(pool.acquire());
  }
}

// DB5
TEST_P(ResourcePoolTest, MaxOpenOneDoesNotLockItselfUp) {
  Connections pool(connect, {.max_open = 1});
  for (int i = 0; i < 4; ++i) {
    start([&pool] {
      for (int round = 0; round < 200; ++round) {
        auto one = pool.acquire();
        if (round % 7 == 0) {
          one.discard();
          EXPECT_EQ(one.get(), nullptr);
        } else if (round % 3 == 0) {
          hamgam::yield();
        }
      }
    });
  }
  join();
  EXPECT_EQ(Connection::most, 1);
}

// DB6, DB13: also when cancelling races with serving.
TEST_P(ResourcePoolTest, CancelledWaitersLoseNothing) {
  constexpr int kMax = 2;
  Connections pool(connect, {.max_open = kMax, .max_idle = kMax});
  std::atomic<int> cancelled{0};
  std::atomic<int> served{0};
  for (int i = 0; i < 8; ++i) {
    start([&, i] {
      for (int round = 0; round < (slow() ? 50 : 500); ++round) {
        if (i < 2) {
          auto one = pool.acquire();
          hamgam::yield();
          ++served;
        } else if (i < 5) {
          auto one = pool.acquire_for(std::chrono::microseconds((round * 7 + i) % 60));
          one ? ++served : ++cancelled;
        } else {
          std::stop_source stop;
          WaitGroup done;
          done.go([&stop] {
            hamgam::yield();
            stop.request_stop();
          });
          {
            auto one = pool.acquire(stop.get_token());
            one ? ++served : ++cancelled;
          }
          done.wait();
        }
      }
    });
  }
  join();
  auto const stats = pool.stats();
  EXPECT_EQ(stats.in_use, 0U);
  EXPECT_LE(Connection::most, kMax);
  std::vector<Connections::Lease> all;
  for (int i = 0; i < kMax; ++i) {
    all.push_back(pool.acquire());
  }
}

// DB13: the first, one in the middle and the last of the queue give up.
TEST_P(ResourcePoolTest, WaitersAreServedInTheirOrder) {
  constexpr int kWaiters = 8;
  Connections pool(connect, {.max_open = 1});
  auto held = std::make_unique<Connections::Lease>(pool.acquire());
  std::vector<std::stop_source> stops(kWaiters);
  hamgam::Guarded<std::vector<int>> order;
  for (int i = 0; i < kWaiters; ++i) {
    start([&, i] {
      if (auto one = pool.acquire(stops[static_cast<std::size_t>(i)].get_token())) {
        order.with([i](auto& list) { list.push_back(i); });
      }
    });
    ASSERT_TRUE(
        comes_true([&] { return pool.stats().wait_count == static_cast<unsigned>(i) + 1; }));
  }
  for (std::size_t i : {0U, 3U, 7U}) {
    stops[i].request_stop();
  }
  held.reset();
  join();
  order.with([](auto& list) { EXPECT_EQ(list, (std::vector<int>{1, 2, 4, 5, 6})); });
  EXPECT_EQ(pool.stats().open, 1U);
}

// DB7
TEST_P(ResourcePoolTest, OldOnesAreClosed) {
  start([] {
    Connections pool(connect, {.max_idle = 4, .max_lifetime = milliseconds(30)});
    {
      auto a = pool.acquire();
      auto b = pool.acquire();
    }
    EXPECT_TRUE(comes_true([] { return Connection::alive == 0; }));
    EXPECT_EQ(pool.stats().max_lifetime_closed, 2U);
    // In use it lives on, and is closed when it comes back.
    {
      auto c = pool.acquire();
      hamgam::sleep(milliseconds(40));
      EXPECT_EQ(Connection::alive, 1);
    }
    EXPECT_EQ(Connection::alive, 0);
    EXPECT_EQ(pool.stats().max_lifetime_closed, 3U);
    EXPECT_EQ(pool.stats().open, 0U);
  });
  join();
}

TEST_P(ResourcePoolTest, IdleOnesAreClosed) {
  start([] {
    Connections pool(connect, {.max_idle = 4, .max_idle_time = milliseconds(20)});
    {
      auto a = pool.acquire();
      auto b = pool.acquire();
    }
    EXPECT_TRUE(comes_true([] { return Connection::alive == 0; }));
    EXPECT_EQ(pool.stats().max_idle_time_closed, 2U);
    EXPECT_EQ(pool.stats().max_lifetime_closed, 0U);
    EXPECT_EQ(pool.stats().idle, 0U);
    // Set while something is idle.
    pool.set_max_idle_time(milliseconds(0));
    { auto c = pool.acquire(); }
    pool.set_max_idle_time(milliseconds(5));
    EXPECT_TRUE(comes_true([] { return Connection::alive == 0; }));
  });
  join();
}

TEST_P(ResourcePoolTest, EmptyLeases) {
  start([] {
    Connections pool(connect);
    Connections::Lease lease;
    auto const refuses = [&lease] {
      EXPECT_FALSE(lease);
      EXPECT_EQ(lease.get(), nullptr);
      for (bool const arrow : {false, true}) {
        try {
          (void)(arrow ? lease->id : (*lease).id);
          ADD_FAILURE() << "it did not throw";
        } catch (const hamgam::Panic& e) {
          EXPECT_STREQ(e.what(), "ResourcePool: the lease is empty");
        }
      }
      lease.discard();
    };
    refuses();
    lease = pool.acquire();
    EXPECT_TRUE(lease);
    EXPECT_EQ(lease->id, 1);
    auto other = std::move(lease);
    refuses();
    lease = std::move(other);
    lease.discard();
    refuses();
    EXPECT_EQ(Connection::alive, 0);
    lease = pool.acquire();
    lease = {};
    refuses();
    EXPECT_EQ(pool.stats().idle, 1U);
  });
  join();
}

// A tenth of jitter, downwards.
TEST_P(ResourcePoolTest, LifetimesDiffer) {
  start([] {
    auto const begin = std::chrono::steady_clock::now();
    Connections pool(connect, {.max_idle = 50, .max_lifetime = milliseconds(200)});
    {
      std::vector<Connections::Lease> all;
      for (int i = 0; i < 50; ++i) {
        all.push_back(pool.acquire());
      }
    }
    EXPECT_TRUE(comes_true([] { return Connection::alive < 50; }));
    EXPECT_GE(std::chrono::steady_clock::now() - begin, milliseconds(180));
    EXPECT_TRUE(comes_true([] { return Connection::alive == 0; }));
  });
  join();
}

TEST_P(ResourcePoolTest, MinIdleIsKeptWarm) {
  start([] {
    Connections pool(connect, {.max_open = 4, .max_idle = 1, .min_idle = 3});
    EXPECT_TRUE(comes_true([&] { return pool.stats().idle == 3; }));
    {
      auto a = pool.acquire();
      EXPECT_TRUE(comes_true([&] { return pool.stats().idle == 3; }));
      EXPECT_EQ(pool.stats().open, 4U);
      auto b = pool.acquire();
      EXPECT_EQ(pool.stats().open, 4U);
      b.discard();
      EXPECT_TRUE(comes_true([&] { return pool.stats().idle == 3; }));
    }
    EXPECT_EQ(pool.stats().idle, 3U);
    EXPECT_LE(Connection::most, 4);
    pool.set_min_idle(0);
    pool.set_max_idle(0);
    EXPECT_EQ(pool.stats().idle, 0U);
  });
  join();
}

TEST_P(ResourcePoolTest, MinIdleSurvivesAnOpenerThatThrowsAndOldAge) {
  start([] {
    std::atomic<int> calls{0};
    Connections pool(
        [&calls] {
          if (++calls <= 2) {
            throw std::runtime_error("refused");
          }
          return Connection();
        },
        {.max_open = 4, .min_idle = 2, .max_lifetime = milliseconds(50)});
    EXPECT_TRUE(comes_true([] { return Connection::opened >= 6; }));
    EXPECT_GE(pool.stats().max_lifetime_closed, 2U);
  });
  join();
}

// DB9
TEST_P(ResourcePoolTest, TheUnhealthyAreReplaced) {
  start([] {
    std::atomic<int> checks{0};
    Connections pool(connect, {.max_open = 2, .max_idle = 2}, [&checks](Connection& one) {
      ++checks;
      hamgam::yield();  // not under a lock
      return !one.broken;
    });
    {
      auto a = pool.acquire();
      auto b = pool.acquire();
      EXPECT_EQ(checks, 0);  // new ones need none
      a->broken = true;
      b->broken = true;
    }
    EXPECT_EQ(pool.acquire()->id, 3);
    EXPECT_EQ(checks, 2);
    EXPECT_EQ(Connection::alive, 1);
    EXPECT_EQ(pool.stats().open, 1U);
    EXPECT_EQ(pool.acquire()->id, 3);
  });
  join();
}

TEST_P(ResourcePoolTest, AHealthCheckThatThrowsLosesNoCapacity) {
  start([] {
    bool fail = false;
    Connections pool(connect, {.max_open = 1}, [&fail](Connection&) {
      if (fail) {
        throw std::runtime_error("check");
      }
      return true;
    });
    (void)pool.acquire();
    fail = true;
    EXPECT_THROW((void)pool.acquire(), std::runtime_error);
    EXPECT_EQ(Connection::alive, 0);
    EXPECT_EQ(pool.stats().open, 0U);
    fail = false;
    EXPECT_EQ(pool.acquire()->id, 2);
  });
  join();
}

// A waiter is given what is checked first, too.
TEST_P(ResourcePoolTest, AHandedOverOneIsChecked) {
  Connections pool(connect, {.max_open = 1}, [](Connection& one) { return !one.broken; });
  auto held = std::make_unique<Connections::Lease>(pool.acquire());
  start([&pool] {
    auto one = pool.acquire();
    EXPECT_EQ(one->id, 2);
  });
  ASSERT_TRUE(comes_true([&] { return pool.stats().wait_count == 1; }));
  (*held)->broken = true;
  held.reset();
  join();
  EXPECT_EQ(Connection::most, 1);
}

// DB8
TEST_P(ResourcePoolTest, CloseWakesWaitersAndClosesTheIdle) {
  Connections pool(connect, {.max_open = 2, .max_idle = 2});
  auto a = std::make_unique<Connections::Lease>(pool.acquire());
  auto b = std::make_unique<Connections::Lease>(pool.acquire());
  std::atomic<int> refused{0};
  for (int i = 0; i < 3; ++i) {
    start([&] {
      try {
        (void)pool.acquire();
      } catch (const std::system_error& error) {
        EXPECT_EQ(error.code(), std::errc::operation_canceled);
        ++refused;
      }
    });
  }
  start([&] {
    try {
      (void)pool.acquire_for(std::chrono::hours(1));
    } catch (const std::system_error&) {
      ++refused;
    }
  });
  ASSERT_TRUE(comes_true([&] { return pool.stats().wait_count == 4; }));
  pool.close();
  join();
  EXPECT_EQ(refused, 4);
  EXPECT_THROW((void)pool.acquire(), std::system_error);
  EXPECT_THROW((void)pool.try_acquire(), std::system_error);
  pool.close();
  EXPECT_EQ(Connection::alive, 2);
  EXPECT_EQ(pool.stats().in_use, 2U);
  a.reset();
  EXPECT_EQ(Connection::alive, 1);
  b.reset();
  auto const stats = pool.stats();
  EXPECT_EQ(stats.open, 0U);
  EXPECT_EQ(stats.idle, 0U);
  EXPECT_EQ(stats.in_use, 0U);
}

TEST_P(ResourcePoolTest, LeasesMayOutliveThePool) {
  std::vector<Connections::Lease> leases;
  {
    Connections pool(connect, {.max_idle = 8, .max_lifetime = std::chrono::hours(1)});
    for (int i = 0; i < 8; ++i) {
      leases.push_back(pool.acquire());
    }
    (void)pool.acquire();
  }
  EXPECT_EQ(Connection::alive, 8);
  for (auto& lease : leases) {
    start([&lease] { auto mine = std::move(lease); });
  }
  join();
  EXPECT_EQ(Connection::alive, 0);
}

TEST_P(ResourcePoolTest, LeasesComeBackWhileThePoolGoes) {
  for (int round = 0; round < (slow() ? 50 : 300); ++round) {
    auto pool = std::make_unique<Connections>(
        connect,
        ResourcePoolOptions{
            .max_idle = 2, .min_idle = 1, .max_idle_time = std::chrono::microseconds(round)});
    for (int i = 0; i < 3; ++i) {
      auto lease = std::make_shared<Connections::Lease>(pool->acquire());
      start([lease]() mutable {
        hamgam::yield();
        lease.reset();
      });
    }
    pool.reset();
    join();
  }
}

// DB10: closed while it was being opened.
TEST_P(ResourcePoolTest, WhatIsOpenedTooLateIsClosed) {
  WaitGroup opening;
  WaitGroup closed;
  opening.add(1);
  closed.add(1);
  Connections pool([&] {
    opening.done();
    closed.wait();
    return Connection();
  });
  start([&pool] { EXPECT_THROW((void)pool.acquire(), std::system_error); });
  opening.wait();
  pool.close();
  closed.done();
  join();
  EXPECT_EQ(Connection::alive, 0);
  EXPECT_EQ(pool.stats().open, 0U);
}

// DB11
TEST_P(ResourcePoolTest, Stress) {
  std::atomic<int> opens{0};
  Connections pool(
      [&opens] {
        if (++opens % 10 == 0) {
          throw std::runtime_error("refused");
        }
        return Connection();
      },
      {.max_open = 3,
       .max_idle = 2,
       .min_idle = 1,
       .max_lifetime = milliseconds(3),
       .max_idle_time = milliseconds(1)},
      [](Connection& one) { return !one.broken; });
  for (int i = 0; i < 10; ++i) {
    start([&pool, i] {
      for (int round = 0; round < (slow() ? 50 : 500); ++round) {
        try {
          auto one = round % 2 == 0 ? std::optional<Connections::Lease>(pool.acquire())
                                    : pool.acquire_for(std::chrono::microseconds(50));
          if (one) {
            EXPECT_FALSE((*one)->used.exchange(true));
            if ((round + i) % 5 == 0) {
              hamgam::yield();
            }
            (*one)->broken = (round + i) % 11 == 0;
            (*one)->used = false;
            if ((round + i) % 13 == 0) {
              one->discard();
            }
          }
        } catch (const std::runtime_error&) {
        }
        if (i == 0) {
          pool.set_max_open(static_cast<std::size_t>(1 + round % 4));
        }
      }
    });
  }
  join();
  EXPECT_LE(Connection::most, 4);
  pool.close();
  EXPECT_TRUE(comes_true([&pool] { return pool.stats().open == 0; }));
}

// Happens-before, for ThreadSanitizer: what was written before the return is there after acquire.
TEST_P(ResourcePoolTest, ReturnIsBeforeAcquire) {
  ResourcePool<std::vector<int>> pool([] { return std::vector<int>(); }, {.max_open = 2});
  for (int i = 0; i < 6; ++i) {
    start([&pool, i] {
      for (int round = 0; round < 300; ++round) {
        auto one = pool.acquire();
        one->resize(one->size() % 20 + 1);
        one->back() = i;
        if (round % 10 == 0) {
          hamgam::yield();
        }
      }
    });
  }
  join();
}

}  // namespace
