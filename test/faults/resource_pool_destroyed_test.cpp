// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// A ResourcePool that is destroyed beside all who may still touch what lies behind it: waiters that
// gave up, were refused or were served, leases that come back, and its own caretaker. The memory
// errors are for AddressSanitizer to see.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <stop_token>
#include <system_error>
#include <utility>
#include <vector>

#include "hamgam/go.h"
#include "hamgam/resource_pool.h"
#include "hamgam/time.h"
#include "hamgam/waitgroup.h"
#include "support/asleep.h"
#include "support/crew.h"
#include "support/scale.h"
#include "support/seed.h"

namespace {

using namespace std::chrono_literals;
using hamgam::ResourcePool;
using hamgam::ResourcePoolOptions;
using hamgam::WaitGroup;
using hamgam::test::until;
using hamgam::test::Who;

using Numbers = ResourcePool<int>;

class ResourcePoolDestroyed : public testing::TestWithParam<Who> {};

void spin(std::chrono::microseconds time) {
  auto const end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) {
  }
}

// One worker, which is busy from before the waiter's time is over until pool and lease are gone: so
// the waiter has left the queue and not run yet.
TEST_P(ResourcePoolDestroyed, BesideAWaiterThatGaveUp) {
  hamgam::test::Procs const one(1);
  for (int round = 0; round < hamgam::test::scaled(20); ++round) {
    hamgam::test::Crew crew(GetParam());
    crew.start([round] {
      auto pool = std::make_unique<Numbers>([] { return 1; }, ResourcePoolOptions{.max_open = 1});
      std::optional<Numbers::Lease> lease(pool->acquire());
      std::stop_source stop;
      WaitGroup waiters;
      Numbers* const raw = pool.get();
      std::atomic<bool> returned{false};
      waiters.go([raw, &stop] { EXPECT_FALSE(raw->acquire(stop.get_token())); });
      until([raw] { return raw->stats().wait_count == 1; });
      waiters.go([raw, &returned] {
        try {
          (void)raw->acquire_for(3ms);
        } catch (const std::system_error&) {  // when the timer was late; it may even be served
        }
        returned = true;
      });
      until([&] { return raw->stats().wait_count == 2 || returned; });
      spin(4ms);
      stop.request_stop();
      if (round % 2 == 0) {
        pool.reset();
        lease.reset();
      } else {
        lease.reset();
        pool.reset();
      }
      waiters.wait();
    });
    crew.join();
  }
}

// What the pool's functions refer to may be gone when the destructor has returned: none of them
// runs any more then, whoever called it.
TEST_P(ResourcePoolDestroyed, NoFunctionRunsAnyMore) {
  for (int round = 0; round < hamgam::test::scaled(200); ++round) {
    std::atomic<int> running{0};
    std::atomic<bool> over{false};
    auto const slow = [&running, &over] {
      EXPECT_FALSE(over);
      ++running;
      hamgam::sleep(200us);
      EXPECT_FALSE(over);
      --running;
    };
    auto pool = std::make_unique<Numbers>(
        [&slow] {
          slow();
          return 1;
        },
        ResourcePoolOptions{.max_open = 3, .min_idle = 2},
        [&slow](int& value) {
          slow();
          return ++value % 3 != 0;
        });
    hamgam::test::Crew crew(GetParam());
    std::vector<Numbers::Lease> leases;
    for (int i = 0; i < 3; ++i) {
      leases.push_back(pool->acquire());
    }
    auto const waited = pool->stats().wait_count;
    for (int i = 0; i < 2; ++i) {
      crew.start([raw = pool.get()] {
        try {
          (void)raw->acquire();
        } catch (const std::system_error& error) {
          EXPECT_EQ(error.code(), std::errc::operation_canceled);
        }
      });
    }
    until([&] { return pool->stats().wait_count == waited + 2; });
    if (round % 2 == 0) {
      leases[0].discard();
    }
    leases.pop_back();
    if (round % 3 == 0) {
      hamgam::yield();
    }
    pool.reset();
    EXPECT_EQ(running, 0);
    over = true;
    leases.clear();
    crew.join();
  }
}

// A clock of the user's that is behind ours, so that an attempt ends too early; meanwhile the pool
// goes.
struct LateClock {
  using rep = std::int64_t;
  using period = std::nano;
  using duration = std::chrono::nanoseconds;
  using time_point = std::chrono::time_point<LateClock>;
  [[maybe_unused]] static constexpr bool is_steady = false;
  static time_point now() {
    if (++calls == 2) {
      on_second_call();
    }
    return {};
  }
  static inline int calls = 0;
  static inline std::function<void()> on_second_call;
};

TEST(ResourcePoolDestroyedBetween, TwoAttempts) {
  for (bool const pool_first : {false, true}) {
    auto pool = std::make_unique<Numbers>([] { return 1; }, ResourcePoolOptions{.max_open = 1});
    auto lease = pool->acquire();
    LateClock::calls = 0;
    LateClock::on_second_call = [&] {
      if (pool_first) {
        pool.reset();
      }
      lease = {};
      pool.reset();
    };
    EXPECT_THROW((void)pool->acquire_until(LateClock::time_point(1ms)), std::system_error);
    EXPECT_EQ(pool, nullptr);
  }
}

// The caretaker sleeps for an hour: it is woken, and ends.
TEST(ResourcePoolCaretaker, GoesWithThePool) {
  hamgam::run([] {
    std::size_t const before = hamgam::num_goroutine();
    for (int round = 0; round < 3; ++round) {
      Numbers pool([] { return 1; }, {.max_idle_time = 1h});
      { auto const lease = pool.acquire(); }
      until([before] { return hamgam::num_goroutine() > before; });
      if (round == 1) {
        pool.close();
        until([before] { return hamgam::num_goroutine() == before; });
      }
    }
    until([before] { return hamgam::num_goroutine() == before; });
  });
}

TEST_P(ResourcePoolDestroyed, Stress) {
  std::mt19937_64 random(hamgam::test::seed());
  for (int round = 0; round < hamgam::test::scaled(400); ++round) {
    auto const number = [&random](unsigned n) { return static_cast<unsigned>(random() % n); };
    ResourcePoolOptions const options{.max_open = 1 + number(3),
                                      .max_idle = number(3),
                                      .min_idle = number(2),
                                      .max_lifetime = std::chrono::microseconds(number(300)),
                                      .max_idle_time = std::chrono::microseconds(number(300))};
    bool const checks = number(2) == 0;
    auto pool = std::make_unique<Numbers>(
        [] {
          hamgam::yield();
          return 1;
        },
        options,
        checks ? std::function<bool(int&)>([](int& n) { return ++n % 5 != 0; })
               : std::function<bool(int&)>());
    std::stop_source stop;
    hamgam::test::Crew crew(GetParam());
    std::vector<std::shared_ptr<Numbers::Lease>> held;
    for (std::size_t i = 0; i < options.max_open; ++i) {
      held.push_back(std::make_shared<Numbers::Lease>(pool->acquire()));
    }
    unsigned const count = number(6);
    for (unsigned i = 0; i < count; ++i) {
      auto const waited = pool->stats().wait_count;
      auto const returned = std::make_shared<std::atomic<bool>>(false);
      crew.start(
          [raw = pool.get(), i, &stop, returned, wait = std::chrono::microseconds(number(300))] {
            try {
              if (i % 3 == 0) {
                (void)raw->acquire();
              } else if (i % 3 == 1) {
                (void)raw->acquire_for(wait);
              } else {
                (void)raw->acquire(stop.get_token());
              }
            } catch (const std::system_error&) {
            }
            *returned = true;
          });
      // It waits, or its time was over before.
      until([&] { return *returned || pool->stats().wait_count > waited; });
    }
    for (auto& lease : held) {
      crew.start([mine = std::exchange(lease, nullptr), discards = number(2) == 0]() mutable {
        hamgam::yield();
        if (discards) {
          mine->discard();
        }
        mine.reset();
      });
    }
    if (number(2) == 0) {
      spin(std::chrono::microseconds(number(300)));
    }
    if (number(2) == 0) {
      stop.request_stop();
    }
    if (number(4) == 0) {
      pool->set_max_lifetime(std::chrono::microseconds(number(100)));
    }
    if (number(4) == 0) {
      pool->close();
    }
    pool.reset();
    crew.join();
  }
}

INSTANTIATE_TEST_SUITE_P(By, ResourcePoolDestroyed, hamgam::test::everybody(),
                         hamgam::test::name_of);

}  // namespace
